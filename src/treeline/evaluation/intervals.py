"""Predictions for the same rows → metrics with intervals, and leads with intervals of their own.

Each row has an influence on a metric (`influence`); the sums over units that are independent of
each other (`units`) have a deviation, and that of the metric is theirs over the root of their
number. Where two models are judged, the influences are subtracted row by row (a paired interval).
A metric of one's own that is no mean over the rows is known by parts of them alone, which are units
then.
The quantiles are Student's for as many units as there are, on a scale on which the metric has no
bound: the logit of a share, the log of an error. Sums of groups are enlarged for their leverage
(Bell and McCaffrey 2002), so that ten groups do not look like a hundred. Only the test rows vary:
an interval says how far a metric could have come out on others, not after another training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import kstwobign
from scipy.stats import t as student

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS
from treeline.evaluation.influence import influence
from treeline.evaluation.metrics import score
from treeline.evaluation.own import BOUNDS, GROUPS
from treeline.evaluation.units import FEWEST, Units
from treeline.records.evaluation import Interval

Array = NDArray[Any]
Measured = dict[str, tuple[float, Array]]


@dataclass(frozen=True)
class Repeat:
    """The predictions of the same rows by each model, by its name.

    `parts`, int64 of shape (n_rows,), says which refit predicted a row; None where one model did.
    """

    predictions: Mapping[str, Prediction]
    parts: Array | None = None

    def of(self, rows: Array) -> "Repeat":
        """Return the predictions of some rows, by position.

        `rows` are integers of shape (n_some,).
        """
        predictions = {who: _of(each, rows) for who, each in self.predictions.items()}
        return Repeat(predictions, None if self.parts is None else self.parts[rows])

    def measured(
        self, who: str, truth: Array, names: list[str], groups: Array | None = None
    ) -> Measured:
        """Return the value of each named metric and the influence of each row, shape (n_rows,).

        Left out are metrics of probabilities where there are none, and metrics of ranks where no
        part has a row of each class. `groups`, int64 of shape (n_rows,), are what a metric of one's
        own is asked without.
        """
        prediction = self.predictions[who]
        measured: Measured = {}
        for name in names:
            if METRICS[name].ranks and self.parts is not None and prediction.scores is not None:
                within = _within(name, truth, prediction.scores, self.parts, groups)
                measured |= {} if within is None else {name: within}
            else:
                measured |= {
                    name: (value, _influence(name, truth, prediction, groups))
                    for name, value in score(truth, prediction, [name]).items()
                }
        return measured


def _within(
    name: str, truth: Array, scores: Array, parts: Array, groups: Array | None
) -> tuple[float, Array] | None:
    """Return the mean over the parts, by their rows, of a metric; None where it has none in all."""
    values, moves, counts = np.zeros(len(truth)), np.zeros(len(truth)), 0
    known = np.zeros(len(truth), dtype=np.bool_)
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        if len(np.unique(truth[rows])) < scores.shape[1]:
            continue
        prediction = Prediction(scores=scores[rows])
        values[rows] = score(truth[rows], prediction, [name])[name]
        within = None if groups is None else groups[rows]
        moved = influence(name, truth[rows], scores[rows], within) * _enlarged(truth[rows])
        moves[rows] = moved - moved.mean()
        known[rows], counts = True, counts + len(rows)
    if not counts:
        return None
    value = float(values[known].mean())
    whole = np.where(known, moves + values - value, 0.0) * (len(truth) / counts)
    return value, whole


def _enlarged(truth: Array) -> Array:
    """Return what makes up for deviations from the mean of few rows: n over n - 1 in the square."""
    rows = np.bincount(truth)[truth]
    return np.sqrt(rows / np.maximum(rows - 1, 1))


def _influence(name: str, truth: Array, prediction: Prediction, groups: Array | None) -> Array:
    return influence(name, truth, getattr(prediction, METRICS[name].judges), groups)


def _of(prediction: Prediction, rows: Array) -> Prediction:
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else part[rows] for part in parts))


LEVEL = 0.95


@dataclass(frozen=True)
class Scale:
    """A scale on which a metric has no bound: there, back, and the slope at a value."""

    there: Callable[[float], float]
    back: Callable[[float], float]
    slope: Callable[[float], float]


PLAIN = Scale(lambda value: value, lambda value: value, lambda _: 1.0)
SCALES = {
    "share": Scale(logit, expit, lambda value: 1 / (value * (1 - value))),
    "error": Scale(np.log, np.exp, lambda value: 1 / value),
    "plain": PLAIN,
    "explained": Scale(
        lambda value: -np.log1p(-value), lambda it: -np.expm1(-it), lambda value: 1 / (1 - value)
    ),
}


def _in_parts(metric: str) -> bool:
    """Tell whether what moves a metric is known by parts of the rows alone."""
    known = METRICS[metric]
    return known.own is not None and not known.by_row


@dataclass(frozen=True)
class Basis:
    """What an interval rests on: the truth of the rows, what is one unit, and the level."""

    truth: Array
    units: Units
    level: float = LEVEL
    parts: int = 1

    def of(self, metric: str) -> "Basis":
        """Return what an interval of a metric rests on: fewer units where parts are all it has."""
        return replace(self, units=self.grouped) if _in_parts(metric) else self

    @cached_property
    def grouped(self) -> Units:
        """At most GROUPS units, each of whole ones."""
        return self.units.dealt(GROUPS)

    def enough(self, metric: str) -> bool:
        """Whether there are enough units for an interval, and for ranks enough of each class."""
        return self.units.enough and (not METRICS[metric].ranks or self.rarest >= FEWEST)

    def quantile(self, metric: str) -> float:
        """How many deviations an interval reaches to either side.

        Ranks compare classes, so that the rarest one has a say of its own: of 500 rows with 9
        positive ones, 9 are what the deviation is known from.
        """
        count = self.units.effective
        if METRICS[metric].ranks:
            count = min(count, self.rarest)
        return float(student.ppf((1 + self.level) / 2, count - 1))

    @cached_property
    def rarest(self) -> int:
        """How many units have a row of the rarest class."""
        codes, truth = self.units.codes, self.truth
        return min(len(np.unique(codes[truth == code])) for code in np.unique(truth))

    @property
    def gap_by_chance(self) -> float:
        """The gap of two distributions that chance alone exceeds in (1 - level) / 2 of all tests.

        By the limit of Kolmogorov and Smirnov (1948), the units and the parts of folds counted.
        """
        ones = int(np.sum(self.truth == 1))
        spread = (1 / ones + 1 / (len(self.truth) - ones)) * self.parts
        spread *= len(self.truth) / self.units.effective
        return float(kstwobign.isf((1 - self.level) / 2) * np.sqrt(spread))


def evaluate(
    truth: Array,
    predictions: Mapping[str, Prediction],
    names: list[str],
    *,
    units: Units | None = None,
    level: float = LEVEL,
) -> dict[str, Any]:
    """Judge a champion beside others on the same rows, in the order of `predictions`.

    Returns for each prediction `{metric: {value, low, high}}`, and under `advantage` for each but
    the first the first's lead over it, positive where the first is better. `low` and `high` are
    None where there are too few `units` (rows, where none are given) for an interval of `level`, or
    for a metric of ranks too few with the rarest class. `truth` has shape (n_rows,): codes of
    classes, or values.
    """
    return evaluate_repeats(truth, [Repeat(predictions)], names, units=units, level=level)


def evaluate_repeats(
    truth: Array,
    repeats: Sequence[Repeat],
    names: list[str],
    *,
    units: Units | None = None,
    level: float = LEVEL,
) -> dict[str, Any]:
    """Do so where the same rows were predicted several times; a metric is the mean over them.

    A metric of ranks is left out where no part of a repeat has a row of each class. `truth` has
    shape (n_rows,).
    """
    parts = max(1 if each.parts is None else len(np.unique(each.parts)) for each in repeats)
    basis = Basis(truth, units or Units.rows(len(truth)), level, parts)
    groups = (basis.grouped if any(map(_in_parts, names)) else basis.units).codes
    first, *others = repeats[0].predictions
    values, moves = {}, {}
    for name in repeats[0].predictions:
        measured = [repeat.measured(name, truth, names, groups) for repeat in repeats]
        known = [metric for metric in names if all(metric in each for each in measured)]
        values[name] = {
            metric: float(np.mean([each[metric][0] for each in measured])) for metric in known
        }
        moves[name] = {
            metric: np.mean([each[metric][1] for each in measured], axis=0) for metric in known
        }
    judged: dict[str, Any] = {
        name: {
            metric: interval(metric, value, moves[name][metric], basis.of(metric))
            for metric, value in scores.items()
        }
        for name, scores in values.items()
    }
    judged["advantage"] = {
        other: {
            metric: _lead(
                metric,
                (values[first][metric], values[other][metric]),
                moves[first][metric] - moves[other][metric],
                basis.of(metric),
            )
            for metric in values[first]
            if metric in values[other]
        }
        for other in others
    }
    return judged


def interval(metric: str, value: float, moves: Array, basis: Basis) -> Interval:
    """Return value, low and high of a metric, given the influence of each row on it.

    `moves` is that influence, float64 of shape (n_rows,).
    """
    if not basis.enough(metric):
        return _rounded(value, None, None)
    deviation = deviation_of(moves, basis.units)
    if np.isnan(deviation) and np.isfinite(value):  # not defined without some of the rows
        return _rounded(value, None, None)
    if not deviation > 0:
        return _rounded(value, *_ends_of_extreme(metric, value, basis))
    reach = basis.quantile(metric) * deviation
    least, most = BOUNDS.get(METRICS[metric].scale, (-np.inf, np.inf))
    if value in (least, most):  # an end, which the scale has no place for
        return _rounded(value, max(value - reach, least), min(value + reach, most))
    scale = SCALES[METRICS[metric].scale]
    reach *= scale.slope(value)
    at = scale.there(value)
    return _rounded(value, float(scale.back(at - reach)), float(scale.back(at + reach)))


def deviation_of(moves: Array, units: Units) -> float:
    """Return the standard error of a metric: the deviation of the units' sums.

    A sum is divided by the root of what its unit leaves of the rows, the more the larger it is.
    `moves` is the influence of each row, float64 of shape (n_rows,).
    """
    n_rows = len(moves)
    sums = np.bincount(units.codes, weights=moves, minlength=units.count) / n_rows
    left = 1 - units.sizes / n_rows
    return float(np.sqrt(np.sum(sums**2 / left)))


def _lead(metric: str, values: tuple[float, float], moves: Array, basis: Basis) -> Interval:
    """Return the lead of the first of two values, given the differences of their influences.

    A gap (`ks`) is never below 0: beside scores without any, it must be more than chance makes.
    Ranks that are perfect do not vary, and are as far from certain as their share of 1. Two shares
    differ by 1 at most, and so do the ends.
    """
    lead = METRICS[metric].sign * (values[0] - values[1])
    if not basis.enough(metric):
        return _rounded(lead, None, None)
    reach = basis.quantile(metric) * deviation_of(moves, basis.units)
    if np.isnan(reach) and np.isfinite(lead):
        return _rounded(lead, None, None)
    if metric == "ks" and min(values) == 0:
        reach = max(reach, basis.gap_by_chance)
    elif METRICS[metric].ranks and max(values) == 1:
        reach = max(reach, 1 - _ends_of_extreme(metric, 1, basis)[0])
    most = 1.0 if METRICS[metric].scale == "share" else np.inf
    return _rounded(lead, max(lead - reach, -most), min(lead + reach, most))


def _ends_of_extreme(metric: str, value: float, basis: Basis) -> tuple[float, float]:
    """Return the ends for a share of 1 or 0: no failure in m units (Clopper and Pearson 1934).

    A mean over the rows rests on all units, any other share on those of the rarest class. Where
    nothing varies in between, or an error is 0, the rows tell no more than the value.
    """
    if METRICS[metric].scale != "share" or value not in (0, 1):
        return value, value
    count = basis.units.effective
    if not METRICS[metric].by_row and np.issubdtype(basis.truth.dtype, np.integer):
        count = min(count, basis.rarest)
    reach = float(((1 - basis.level) / 2) ** (1 / count))
    return (reach, value) if value == 1 else (value, 1 - reach)


def _rounded(value: float, low: float | None, high: float | None) -> Interval:
    return {
        "value": round(value, 6),
        "low": None if low is None else round(low, 6),
        "high": None if high is None else round(high, 6),
    }
