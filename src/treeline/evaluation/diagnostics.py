"""A judged champion → what lets a person decide: its slices, thresholds, calibration.

Importances and the learning curve ask the champion for more predictions; the others do not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.config.blocks import Costs
from treeline.config.metrics import METRICS
from treeline.config.models import BASELINE, CHAMPION, ModelSpec
from treeline.contract.problems import plain
from treeline.contract.texts import text_of
from treeline.evaluation.intervals import Repeat, evaluate_repeats
from treeline.evaluation.metrics import score
from treeline.evaluation.units import Units
from treeline.records.evaluation import (
    Calibration,
    CurvePoint,
    Importance,
    Interval,
    LearningCurve,
    Slice,
    Threshold,
    Thresholds,
)

REPEATS = 5  # permutations per feature
MOST = 200  # features shuffled one by one: with REPEATS, a thousand predictions of all rows
BLOCKS = 100  # of neighbouring features, shuffled together where there are more than that


def importances(
    frame: pd.DataFrame,
    truth: NDArray[Any],
    predict: Callable[[pd.DataFrame], Prediction],
    *,
    metric: str,
    seed: int,
) -> list[Importance]:
    """Return how much the metric worsens when a feature is shuffled (Breiman 2001), largest first.

    `frame` is float32 of shape (n_rows, n_features). Each entry has the feature, the mean loss and
    its deviation (n - 1) over the shuffles, in the unit of the metric. Of more than MOST features
    there are entries for those alone whose block worsens it most when shuffled together, so that
    the time does not grow with the number of columns.
    """
    rng, sign = np.random.default_rng(seed), METRICS[metric].sign
    whole = score(truth, predict(frame), [metric])[metric]

    def loss(names: list[str]) -> float:
        shuffled = frame.copy()
        shuffled[names] = frame[names].to_numpy()[rng.permutation(len(frame))]
        return sign * (whole - score(truth, predict(shuffled), [metric])[metric])

    entries: list[Importance] = []
    for name in _most_important(list(frame.columns), loss):
        losses = [loss([name]) for _ in range(REPEATS)]
        entries.append(
            {
                "feature": name,
                "loss": round(float(np.mean(losses)), 6),
                "deviation": round(float(np.std(losses, ddof=1)), 6),
            }
        )
    return sorted(entries, key=lambda entry: -entry["loss"])


def _most_important(names: list[str], loss: Callable[[list[str]], float]) -> list[str]:
    """Return at most MOST of the features, in their order: those of the blocks that matter most."""
    if len(names) <= MOST:
        return names
    size = -(-len(names) // BLOCKS)
    blocks = [names[at : at + size] for at in range(0, len(names), size)]
    ranked = sorted(blocks, key=loss, reverse=True)
    chosen = set([name for block in ranked for name in block][:MOST])
    return [name for name in names if name in chosen]


SHARES = (0.125, 0.25, 0.5, 1.0)
DRAWS = 3  # of each share below 1; another draw, another curve

Array = NDArray[Any]
Rows = tuple[pd.DataFrame, Array]


def learning_curve(
    estimator: Any, train: tuple[pd.DataFrame, Array, Units], test: Rows, *, metric: str, seed: int
) -> LearningCurve:
    """Return the metric on the test rows after learning from shares of the training units.

    Each entry of `curve` has `rows` (the mean), `value` (the mean over the draws) and `deviation`
    (n - 1). `more_rows_help` tells whether the last doubling gained more than the draws differ; it
    is None where the curve is too short. `train` and `test` are float32 frames with their truth. A
    draw that lacks a class is left out, and a share of which none is left has no entry.
    """
    frame, truth, units = train
    whole = np.unique(truth) if np.issubdtype(truth.dtype, np.integer) else np.empty(0)
    curve: list[CurvePoint] = []
    for place, share in enumerate(SHARES):
        values, sizes = [], []
        for draw in range(DRAWS if share < 1 else 1):
            rng = np.random.default_rng([seed, place, draw])
            taken = rng.permutation(units.count)[: max(1, round(share * units.count))]
            rows = np.flatnonzero(np.isin(units.codes, taken))
            if len(whole) and len(np.unique(truth[rows])) < len(whole):
                continue
            fitted = clone(estimator).fit(frame.iloc[rows], truth[rows])
            values.append(score(test[1], predict(fitted, test[0]), [metric])[metric])
            sizes.append(len(rows))
        if values:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            curve.append(
                {
                    "rows": round(float(np.mean(sizes))),
                    "value": round(float(np.mean(values)), 6),
                    "deviation": round(deviation, 6),
                }
            )
    return {"curve": curve, "more_rows_help": _more_rows_help(curve, metric)}


def _more_rows_help(curve: Sequence[CurvePoint], metric: str) -> bool | None:
    if len(curve) < 2:
        return None
    half, whole = curve[-2:]
    gain = METRICS[metric].sign * (whole["value"] - half["value"])
    return bool(gain > half["deviation"])


BINS = 10  # of equal width, as Guo and others (2017)


def calibration(truth: Array, prediction: Prediction) -> Calibration | None:
    """Return the calibration as numbers, or None where labels are all there is.

    Of probabilities: `ece`, the expected calibration error (Naeini and others 2015) of the positive
    class, or beyond two classes of the likeliest one (Guo and others 2017); and of the same bins
    the parts of the Brier score (Murphy 1973), of which `reliability` is what calibration costs,
    `resolution` what telling rows apart gains, and `uncertainty` what the shares alone would have.
    Of values: `bias`, their mean minus that of the truth, and `slope`, by how much the truth rises
    with them, 1 where they are right (Mincer and Zarnowitz 1969); and `at_most`, the share of rows
    whose truth is at most the value, which for a quantile is what it is of. `truth` has shape
    (n_rows,): codes of classes, or values.
    """
    if prediction.values is not None:
        return _of_values(truth, np.asarray(prediction.values, dtype=np.float64))
    if prediction.scores is None:
        return None
    scores = np.asarray(prediction.scores, dtype=np.float64)
    if scores.shape[1] == 2:
        return _of_shares(truth == 1, np.clip(scores[:, 1], 0, 1))
    likeliest = scores.argmax(axis=1)
    share = np.clip(scores[np.arange(len(truth)), likeliest], 0, 1)
    return _of_shares(truth == likeliest, share)


def _of_shares(hit: Array, share: Array) -> Calibration:
    place = np.minimum((share * BINS).astype(np.intp), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    filled = rows > 0
    came_true = np.bincount(place, weights=hit, minlength=BINS)[filled] / rows[filled]
    forecast = np.bincount(place, weights=share, minlength=BINS)[filled] / rows[filled]
    weight, whole = rows[filled] / len(hit), float(hit.mean())
    return {
        "ece": _rounded(np.sum(weight * np.abs(came_true - forecast))),
        "reliability": _rounded(np.sum(weight * (came_true - forecast) ** 2)),
        "resolution": _rounded(np.sum(weight * (came_true - whole) ** 2)),
        "uncertainty": _rounded(whole * (1 - whole)),
    }


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _of_values(truth: Array, values: Array) -> Calibration:
    spread = float(np.mean((values - values.mean()) ** 2))
    parts: Calibration = {
        "bias": _rounded(float(np.mean(values) - np.mean(truth))),
        "at_most": _rounded(float(np.mean(truth <= values))),
    }
    if spread:
        both = float(np.mean((values - values.mean()) * (truth - truth.mean())))
        parts["slope"] = round(both / spread, 6)
    return parts


FEWEST_ROWS = 20  # of a slice: fewer tell nothing
MOST_VALUES = 20  # of a column: more are no slices but groups


def sliced(
    table: pd.DataFrame,
    truth: Array,
    repeats: Sequence[Repeat],
    spec: ModelSpec,
    *,
    units: Units,
) -> list[Slice]:
    """Return the champion metric for each value of each column that is sliced by.

    Those are declared (`evaluation.slices`), or else the features of categories. Entries have the
    column, its value (`slice`), how many rows, what the baseline reaches, and the lead over it,
    which has an interval where the slice has enough `units`. A slice in which the metric is
    undefined (one class alone) is left out, as are those of fewer than FEWEST_ROWS rows, and rows
    that are a slice already by another name. `table` is prepared rows, and `truth` their codes or
    values, of shape (n_rows,).
    """
    metric = spec.champion.metric
    entries: list[Slice] = []
    seen: set[bytes] = set()
    for name in columns_of(spec):
        values = table[name]
        for value in sorted(values.dropna().unique(), key=str)[:MOST_VALUES]:
            rows = np.flatnonzero(values == value)
            if len(rows) < FEWEST_ROWS or rows.tobytes() in seen:
                continue
            seen.add(rows.tobytes())
            those = [repeat.of(rows) for repeat in repeats]
            judged = evaluate_repeats(truth[rows], those, [metric], units=units.part(rows))
            if metric in judged[CHAMPION] and np.isfinite(judged[CHAMPION][metric]["value"]):
                own: Interval = judged[CHAMPION][metric]
                rival: Interval | None = judged[BASELINE].get(metric)
                entries.append(
                    {
                        "column": name,
                        "slice": text_of(plain(value)),
                        "rows": len(rows),
                        **own,
                        "baseline": None if rival is None else rival["value"],
                        "lead": None if rival is None else judged["advantage"][BASELINE][metric],
                    }
                )
    return entries


def columns_of(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns whose values are slices: those declared, or features of categories."""
    if spec.evaluation.slices is not None:
        return spec.evaluation.slices
    return tuple(name for name, feature in spec.features.items() if feature.categories)


STEPS = tuple(round(0.1 * step, 1) for step in range(1, 10))
PER_ROWS = 100  # costs are given for so many rows


def thresholds(hit: Array, score: Array, costs: Costs | None) -> Thresholds:
    """Return precision, recall and the rows above each threshold, and with `costs` the cheapest.

    `hit` is bool and `score` the probability of the positive class, both of shape (n_rows,). A row
    is called positive where its score is at least the threshold. `of_costs` is the threshold that
    the costs alone give where probabilities are right: that of a false alarm over both (Elkan
    2001). `cheapest` was found on these rows, and flatters them a little.
    """
    table = [_at(threshold, hit, score, costs) for threshold in STEPS]
    if costs is None:
        return {"table": table}
    of_costs = costs.false_alarm / (costs.false_alarm + costs.miss)
    nobody = np.nextafter(score.max(), 2)  # where an alarm costs more than any miss
    tried = np.unique([*np.quantile(score, np.linspace(0, 1, 201)), nobody])
    entries = [_at(float(threshold), hit, score, costs) for threshold in tried]
    return {
        "table": table,
        "costs": {"false_alarm": costs.false_alarm, "miss": costs.miss},
        "of_costs": _at(of_costs, hit, score, costs),
        "cheapest": min(entries, key=lambda entry: entry["cost"]),
    }


def _at(threshold: float, hit: Array, score: Array, costs: Costs | None) -> Threshold:
    called = score >= threshold
    hits, misses = int((called & hit).sum()), int((~called & hit).sum())
    alarms = int((called & ~hit).sum())
    entry: Threshold = {
        "threshold": float(f"{threshold:.4g}"),
        "called": round(float(called.mean()), 4),
        "precision": round(hits / (hits + alarms), 4) if hits + alarms else None,
        "recall": round(hits / (hits + misses), 4) if hits + misses else None,
    }
    if costs is not None:
        whole = alarms * costs.false_alarm + misses * costs.miss
        entry["cost"] = round(whole / len(hit) * PER_ROWS, 4)
    return entry
