"""Answers whose truth has come in → metrics with intervals, beside what was promised. Pure.

Truths come late and for some rows only. So metrics are given by the time of prediction, and it is
said whether the rows that are known were predicted otherwise than the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.stats import chi2, chi2_contingency, norm, ttest_ind_from_stats

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS
from treeline.contract.counts import Array, stability
from treeline.evaluation.answers import came_true, hits, score_of
from treeline.evaluation.diagnostics import calibration
from treeline.evaluation.intervals import LEVEL, SCALES, evaluate
from treeline.monitoring.record import Cohort, Interval, Tested
from treeline.monitoring.rows import part
from treeline.monitoring.two_samples import LEAST_EXPECTED, homogeneity
from treeline.monitoring.windows import Labelled, Window

MODEL = "model"
COHORTS = 8  # at most, of equal length
FEWEST = 20  # rows of a cohort or slice: fewer tell nothing
MOST_VALUES = 20  # of a slice
OFF_BY = 0.05  # of the probability, on average: what is less changes no decision
OFF_BY_DEVIATIONS = 0.25  # of the errors of a regression, likewise
TINY = 1e-12
SELECTED = 0.01  # a p-value below which labelled rows are not like the rest

Metrics = dict[str, Interval]


@dataclass(frozen=True)
class Promise:
    """What the gate was promised: metrics with intervals, and by which of them to alarm."""

    metrics: Mapping[str, Interval]
    alarming: Sequence[str]

    @classmethod
    def of(cls, evaluation: Mapping[str, Any], alarming: Sequence[str]) -> "Promise":
        """Read it from an evaluation."""
        champion = evaluation.get("champion", {})
        metrics = {name: Interval.model_validate(each) for name, each in champion.items()}
        return cls(metrics, [name for name in dict.fromkeys(alarming) if name in metrics])


def measured(truth: Array, answers: Prediction, names: Sequence[str]) -> Metrics:
    """Return metrics of rows with intervals of 95 %; those that are undefined are left out."""
    with np.errstate(all="ignore"):
        results = evaluate(truth, {MODEL: answers}, list(names))[MODEL]
    return {
        name: Interval.model_validate(each)
        for name, each in results.items()
        if np.isfinite(each["value"])
    }


def promise_tests(promise: Promise, labelled: Labelled) -> list[tuple[str, Tested]]:
    """Test, of each metric that alarms, whether what came true is worse than was promised.

    Both are samples: their difference is held against the deviations of both (Wald 1943), on a
    scale on which the metric has no bound. It matters where it lies beyond the promised interval.
    """
    tests = []
    names = [name for name in promise.alarming if promise.metrics[name].low is not None]
    measures = measured(labelled.truth, labelled.answers, names) if names else {}
    for name, now in measures.items():
        before, sign = promise.metrics[name], METRICS[name].sign
        (at, deviation), (was, its) = _on_scale(name, now), _on_scale(name, before)
        if not np.isfinite(deviation + its) or now.low is None or before.low is None:
            continue
        p = float(norm.sf(sign * (was - at) / max(np.hypot(deviation, its), TINY)))
        worst = before.low if sign > 0 else before.high
        matters = worst is not None and sign * (now.value - worst) < 0
        text = (
            f"is {_interval_text(now)} on {len(labelled):,} rows; promised {_interval_text(before)}"
        )
        tested = Tested(
            sort="worse than promised", p=p, effect=sign * (now.value - before.value),
            matters=matters, text=text,
        )  # fmt: skip
        tests.append((name, tested))
    return tests


def _on_scale(metric: str, interval: Interval) -> tuple[float, float]:
    """Return value and standard error on the scale of a metric, NaN where it has no interval."""
    if interval.low is None or interval.high is None:
        return float("nan"), float("nan")
    scale = SCALES[METRICS[metric].scale]
    with np.errstate(all="ignore"):
        low, at, high = (
            float(scale.there(each)) for each in (interval.low, interval.value, interval.high)
        )
    return at, (high - low) / (2 * float(norm.ppf((1 + LEVEL) / 2)))


def _interval_text(interval: Interval) -> str:
    return f"{interval.value:.4g} ({interval.low:.4g} to {interval.high:.4g})"


def cohorts(labelled: Labelled, names: Sequence[str]) -> tuple[Cohort, ...]:
    """Return the metrics by time of prediction: stretches of equal length, whole days."""
    days = (labelled.times // 86_400).astype(np.int64)
    first, last = int(days.min()), int(days.max())
    length = -(-(last - first + 1) // COHORTS)
    stretches = []
    for start in range(first, last + 1, length):
        mask = (days >= start) & (days < start + length)
        stretches.append(_cohort(_stretch(start, length), labelled, mask, names))
    return tuple(stretches)


def slices(labelled: Labelled, names: Sequence[str]) -> tuple[Cohort, ...]:
    """Return the metrics of each value of each sliced feature, the most frequent ones."""
    groups = []
    for column, values in labelled.slices.items():
        known, counts = np.unique(values.astype(str), return_counts=True)
        for place in np.argsort(-counts, kind="stable")[:MOST_VALUES]:
            mask = np.asarray(values == known[place])
            name = f"{column}: {known[place] or 'missing'}"
            groups.append(_cohort(name, labelled, mask, names))
    return tuple(groups)


def _cohort(name: str, labelled: Labelled, mask: Array, names: Sequence[str]) -> Cohort:
    rows = int(mask.sum())
    if rows < FEWEST:
        return Cohort(name=name, labelled=rows)
    metrics = measured(labelled.truth[mask], part(labelled.answers, mask), names)
    return Cohort(name=name, labelled=rows, metrics=metrics)


def _stretch(day: int, length: int) -> str:
    first, last = (
        datetime.fromtimestamp(each * 86_400, UTC).date().isoformat()
        for each in (day, day + length - 1)
    )
    return first if length == 1 else f"{first} to {last}"


def selected(window: Window) -> Tested | None:
    """Test whether rows whose truth is known were answered otherwise than the others."""
    answers, known = window.answers, window.is_labelled
    if answers is None or not FEWEST <= known.sum() <= len(known) - FEWEST:
        return None
    scores = score_of(answers)
    codes = answers.labels
    if scores is not None:
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, 11)[1:-1]))
        codes = np.searchsorted(edges, scores, side="right")
    assert codes is not None  # every answer has labels or scores
    bins = int(codes.max()) + 1
    rest, those = (np.bincount(codes[each], minlength=bins) for each in (~known, known))
    p, index = homogeneity(rest, those), stability(rest, those)
    like = "otherwise than" if p < SELECTED else "like"
    text = f"rows whose truth is known were answered {like} the rest (PSI {index:.2g})"
    return Tested(sort="shift", p=p, corrected=p, effect=index, matters=p < SELECTED, text=text)


def calibrated(labelled: Labelled) -> dict[str, float]:
    """Return the calibration of the rows whose truth is known, as the evaluation does."""
    parts = calibration(labelled.truth, labelled.answers) or {}
    return {name: value for name, value in parts.items() if isinstance(value, float)}


def trusted(before: Mapping[str, Any] | None, labelled: Labelled) -> Tested | None:
    """Test whether as much came true of the same probabilities as on the test rows.

    For each bin of probability a table of two rows, truths here and there; the sum of their
    chi-squares has as many degrees of freedom as there are bins. Of a regression, whether the mean
    error is another one (Welch 1947).
    """
    scores = score_of(labelled.answers)
    if before is None or scores is None or len(labelled) < FEWEST:
        return None
    if labelled.answers.values is not None:
        return _same_bias(before, scores - labelled.truth)
    now = came_true(scores, hits(labelled.truth, labelled.answers))
    statistic, freedom, gap, weight = 0.0, 0, 0.0, 0
    for place, rows in enumerate(now["rows"]):
        were, hit, was = before["rows"][place], now["hits"][place], before["hits"][place]
        if min(rows, were) < LEAST_EXPECTED:
            continue
        moved = now["told"][place] - before["told"][place]
        gap += rows * (hit / rows - was / were - moved)
        weight += rows
        table = np.array([[was, were - was], [hit, rows - hit]])
        if table.sum(axis=0).all():
            statistic += float(chi2_contingency(table, correction=False).statistic)
            freedom += 1
    if not freedom:
        return None
    mean = gap / weight
    text = f"of what was answered, {mean:+.1%} more came true than of the same on the test rows"
    return Tested(
        sort="other than its word", p=float(chi2.sf(statistic, freedom)), effect=mean,
        matters=_spread(before, now) >= OFF_BY, text=text,
    )  # fmt: skip


def _spread(before: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    """Return by how much what came true differs, on average over the rows; chance taken off."""
    rows, were = (np.asarray(each["rows"], dtype=np.float64) for each in (now, before))
    mask = (rows >= LEAST_EXPECTED) & (were >= LEAST_EXPECTED)
    rate = np.asarray(now["hits"])[mask] / rows[mask]
    was = np.asarray(before["hits"])[mask] / were[mask]
    both = (np.asarray(now["hits"]) + np.asarray(before["hits"]))[mask] / (rows + were)[mask]
    by_chance = both * (1 - both) * (1 / rows[mask] + 1 / were[mask])
    square = np.sum(rows[mask] * ((rate - was) ** 2 - by_chance)) / rows[mask].sum()
    return float(np.sqrt(max(square, 0)))


def _same_bias(before: Mapping[str, Any], errors: Array) -> Tested:
    deviation = max(float(errors.std(ddof=1)), TINY)
    p = ttest_ind_from_stats(
        before["bias"], max(before["deviation"], TINY), before["rows"],
        float(errors.mean()), deviation, len(errors), equal_var=False,
    ).pvalue  # fmt: skip
    moved = (float(errors.mean()) - before["bias"]) / max(before["deviation"], TINY)
    text = f"values are {errors.mean():.4g} too high on average, {before['bias']:.4g} before"
    return Tested(
        sort="other than its word", p=float(p), effect=moved,
        matters=abs(moved) >= OFF_BY_DEVIATIONS, text=text,
    )  # fmt: skip
