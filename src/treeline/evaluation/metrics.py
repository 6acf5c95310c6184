"""Truth + prediction → scores, one function per declared metric.

Truth is integer class codes of shape (n,) that index the classes, or float values of shape (n,).
The positive class of a binary target has code 1.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS, percent_of
from treeline.evaluation import own
from treeline.registry import resolve

Array = NDArray[Any]


def score(truth: Array, prediction: Prediction, names: Iterable[str]) -> dict[str, float]:
    """Return each named metric, as a float in the metric's own unit.

    A metric of probabilities is left out where the prediction has none. `truth` has shape
    (n_rows,): codes of classes, or values. Raises MetricError for a metric of one's own.
    """
    values = {}
    for name in names:
        metric = METRICS[name]
        judged = getattr(prediction, metric.judges)
        if judged is None:
            continue
        if metric.own is not None:
            values[name] = own.value(name, metric, truth, judged)
        elif (percent := percent_of(name)) is not None:
            values[name] = pinball(truth, judged, quantile=percent / 100)
        else:
            function = resolve({name: metric.function}, name, place="metric")
            values[name] = float(function(truth, judged))
    return values


def accuracy(truth: Array, labels: Array) -> float:
    """Share of rows whose label is right."""
    return float(np.mean(truth == labels))


def f1(truth: Array, labels: Array) -> float:
    """Harmonic mean of precision and recall: of class 1 of two, else the mean over classes."""
    classes = judged_classes(truth, labels)
    return float(np.mean([_f1(truth == code, labels == code) for code in classes]))


def judged_classes(truth: Array, labels: Array) -> Array:
    """Return the codes of the classes that F1 looks at: 1 of two, else all that are there.

    Integers of shape (n_classes,).
    """
    classes = np.union1d(truth, labels)
    return np.array([1]) if classes[-1] <= 1 else classes


def _f1(truth: Array, called: Array) -> float:
    named = int(np.sum(truth)) + int(np.sum(called))
    return 2 * int(np.sum(truth & called)) / named if named else 0.0


def roc_auc(truth: Array, scores: Array) -> float:
    """Area under the ROC curve; beyond two classes the mean of each class against the rest.

    Computed from ranks (Mann and Whitney 1947), tied scores sharing theirs; NaN where a class is
    missing.
    """
    return float(np.mean([_area(hit, score) for hit, score in sides(truth, scores)]))


def sides(truth: Array, scores: Array) -> list[tuple[Array, Array]]:
    """Return whether each row is of a class, and its score: of each class, of two that of code 1.

    Arrays have shape (n,); of more than two classes the scores of a row sum to 1.
    """
    if scores.shape[1] == 2:
        return [(truth == 1, scores[:, 1])]
    shares = scores / scores.sum(axis=1, keepdims=True)
    return [(truth == code, share) for code, share in enumerate(shares.T)]


def _area(positive: Array, scores: Array) -> float:
    ones = int(np.sum(positive))
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    ranks = float(np.sum(rankdata(scores)[positive]))
    return (ranks - ones * (ones + 1) / 2) / (ones * zeros)


def average_precision(truth: Array, scores: Array) -> float:
    """Mean of the precision at the score of each row of a class (Zhu 2004), without interpolation.

    Of the positive class of two; beyond two the mean of each class against the rest. NaN where a
    class is missing.
    """
    return float(np.mean([_precision(hit, score) for hit, score in sides(truth, scores)]))


def _precision(positive: Array, scores: Array) -> float:
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    falling, hit = -scores[order], positive[order]
    last = np.searchsorted(falling, falling, side="right")  # rows with at least this score
    return float(np.mean((np.cumsum(hit)[last - 1] / last)[hit]))


def ks(truth: Array, scores: Array) -> float:
    """Largest gap between the score distributions of the two classes (Kolmogorov-Smirnov)."""
    if not 0 < np.sum(truth) < len(truth):
        return float("nan")
    positive = scores[:, 1]
    ones, zeros = np.sort(positive[truth == 1]), np.sort(positive[truth == 0])
    passed = [np.searchsorted(side, positive, side="right") / len(side) for side in (ones, zeros)]
    return float(np.max(np.abs(passed[0] - passed[1])))


def log_loss(truth: Array, scores: Array) -> float:
    """Mean negative log of the probability given to the true class, in nats."""
    return float(np.mean(log_losses(truth, scores)))


def log_losses(truth: Array, scores: Array) -> Array:
    """Return the log loss of each row, shape (n,)."""
    given = scores[np.arange(len(truth)), truth] / scores.sum(axis=1)
    losses: Array = -np.log(np.clip(given, np.finfo(np.float32).eps, 1))
    return losses


def brier(truth: Array, scores: Array) -> float:
    """Mean squared error of the probabilities (Brier 1950).

    For two classes that of the positive class, from 0 to 1; beyond two, summed over the classes,
    from 0 to 2.
    """
    return float(np.mean(squared_errors(truth, scores)))


def squared_errors(truth: Array, scores: Array) -> Array:
    """Return the squared error of the probabilities of each row, as `brier` counts it.

    Shape (n_rows,), float64.
    """
    if scores.shape[1] == 2:
        return np.asarray((scores[:, 1] - truth) ** 2)
    return np.asarray(np.sum((scores - np.eye(scores.shape[1])[truth]) ** 2, axis=1))


def rmse(truth: Array, values: Array) -> float:
    """Square root of the mean squared error, in the unit of the target."""
    return float(np.sqrt(np.mean((truth - values) ** 2)))


def mae(truth: Array, values: Array) -> float:
    """Mean absolute error, in the unit of the target."""
    return float(np.mean(np.abs(truth - values)))


def r2(truth: Array, values: Array) -> float:
    """Share of the variance explained; 0 for always answering the mean, NaN where all are equal."""
    spread = float(np.sum((truth - np.mean(truth)) ** 2))
    return 1 - float(np.sum((truth - values) ** 2)) / spread if spread else float("nan")


def pinball(truth: Array, values: Array, *, quantile: float) -> float:
    """Mean loss of a predicted quantile, in the unit of the target (Koenker and Bassett 1978)."""
    return float(np.mean(pinball_losses(truth, values, quantile)))


def pinball_losses(truth: Array, values: Array, quantile: float) -> Array:
    """Return the loss of each row: `quantile` a unit of too little, `1 - quantile` of too much.

    Shape (n_rows,), float64.
    """
    short = np.asarray(truth, dtype=np.float64) - values
    losses: Array = np.maximum(quantile * short, (quantile - 1) * short)
    return losses
