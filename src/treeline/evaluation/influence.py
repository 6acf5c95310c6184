"""Truth + prediction → how much each row moves a metric: its influence, one function per metric.

The influence of a row is the derivative of the metric by the weight of the row (Hampel 1974), times
the number of rows: their mean is 0, and with weights w of mean 1 the metric is about
`value + mean(w * influence)`. What a resampling would find a thousand times is then a sum, and
scores are sorted once. Arrays have shape (n_rows,), float64; truth is as in
`treeline.evaluation.metrics`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from treeline.config.metrics import METRICS, percent_of
from treeline.evaluation import metrics, own

Array = NDArray[Any]


def influence(name: str, truth: Array, judged: Array, groups: Array | None = None) -> Array:
    """Return the influence of each row on the named metric; NaN where the metric is undefined.

    All have shape (n_rows,), but for probabilities as `judged`: (n_rows, n_classes). `groups` are
    the parts that a metric of one's own is asked without (`evaluation.own`), rows where none are.
    """
    if (metric := METRICS[name]).own is not None:
        parts = np.arange(len(truth)) if groups is None else groups
        return own.influence(name, metric, truth, judged, parts)
    if (percent := percent_of(name)) is not None:
        return _centred(metrics.pinball_losses(truth, judged, percent / 100))
    return INFLUENCES[name](truth, judged)


def _centred(values: Array) -> Array:
    exact = np.asarray(values, dtype=np.float64)
    centred: Array = exact - exact.mean()
    return centred


def accuracy(truth: Array, labels: Array) -> Array:
    """Influence on the share of rows whose label is right."""
    return _centred(truth == labels)


def f1(truth: Array, labels: Array) -> Array:
    """Influence on F1, a ratio of sums; of more than two classes the mean of theirs."""
    parts = []
    for code in metrics.judged_classes(truth, labels):
        actual, predicted = truth == code, labels == code
        named = actual.astype(np.float64) + predicted
        if not named.any():
            continue
        both = 2.0 * (actual & predicted)
        parts.append((both - named * (both.sum() / named.sum())) / named.mean())
    return np.sum(parts, axis=0) / max(1, len(parts)) if parts else np.zeros(len(truth))


def roc_auc(truth: Array, scores: Array) -> Array:
    """Influence on the area under the ROC curve: placement values (DeLong and others 1988)."""
    return _mean_over_sides(truth, scores, _area)


def _area(positive: Array, score: Array) -> Array:
    ones, n = int(positive.sum()), len(positive)
    if not 0 < ones < n:
        return np.full(n, np.nan)
    ranks, placed = rankdata(score), np.empty(n)
    placed[positive] = (ranks[positive] - rankdata(score[positive])) / (n - ones)
    placed[~positive] = 1 - (ranks[~positive] - rankdata(score[~positive])) / ones
    area = placed[positive].mean()
    moves: Array = (placed - area) * np.where(positive, n / ones, n / (n - ones))
    return moves


def average_precision(truth: Array, scores: Array) -> Array:
    """Influence on the average precision: on the share of the class, and on every precision."""
    return _mean_over_sides(truth, scores, _precision)


def _precision(positive: Array, score: Array) -> Array:
    n, ones = len(positive), int(positive.sum())
    if not ones:
        return np.full(n, np.nan)
    order = np.argsort(-score, kind="stable")
    hit, falling = positive[order].astype(np.float64), -score[order]
    last = np.searchsorted(falling, falling, side="right")  # rows with at least this score
    first = np.searchsorted(falling, falling, side="left")
    precision = np.cumsum(hit)[last - 1] / last
    value = float((hit * precision).sum()) / ones
    # A row counts in the precision at its own score and at every lower one.
    shares = np.append(np.cumsum((hit / last)[::-1])[::-1], 0.0)[first]
    weighted = np.append(np.cumsum((hit * precision / last)[::-1])[::-1], 0.0)[first]
    moves = np.empty(n)
    moves[order] = (hit * (precision - value + shares) - weighted) * (n / ones)
    return moves


def ks(truth: Array, scores: Array) -> Array:
    """Influence on the largest gap between two distributions, at the score where it is."""
    positive, score, n = truth == 1, scores[:, 1], len(truth)
    ones = int(positive.sum())
    if not 0 < ones < n:
        return np.full(n, np.nan)
    at = np.sort(score)
    sides = [np.sort(score[side]) for side in (positive, ~positive)]
    passed = [np.searchsorted(side, at, side="right") / len(side) for side in sides]
    widest = int(np.argmax(np.abs(passed[0] - passed[1])))
    sign = np.sign(passed[0][widest] - passed[1][widest])
    below = (score <= at[widest]).astype(np.float64)
    of_ones = (below - passed[0][widest]) * (n / ones)
    of_zeros = (below - passed[1][widest]) * (n / (n - ones))
    moves: Array = sign * np.where(positive, of_ones, -of_zeros)
    return moves


def log_loss(truth: Array, scores: Array) -> Array:
    """Influence on the mean negative log of the probability given to the true class."""
    return _centred(metrics.log_losses(truth, scores))


def brier(truth: Array, scores: Array) -> Array:
    """Influence on the mean squared error of the probabilities."""
    return _centred(metrics.squared_errors(truth, scores))


def rmse(truth: Array, values: Array) -> Array:
    """Influence on the square root of the mean squared error."""
    squares = (truth - values) ** 2
    root = float(np.sqrt(squares.mean()))
    return _centred(squares) / (2 * root) if root else np.zeros(len(truth))


def mae(truth: Array, values: Array) -> Array:
    """Influence on the mean absolute error."""
    return _centred(np.abs(truth - values))


def r2(truth: Array, values: Array) -> Array:
    """Influence on the share of the variance explained, a ratio of sums."""
    errors, spread = (truth - values) ** 2, (truth - truth.mean()) ** 2
    if not spread.any():
        return np.full(len(truth), np.nan)
    unexplained = errors.mean() / spread.mean()
    moves: Array = (unexplained * spread - errors) / spread.mean()
    return moves


def _mean_over_sides(truth: Array, scores: Array, one: Callable[[Array, Array], Array]) -> Array:
    """Average over the classes, each against the rest; of two classes the positive one alone."""
    moves: Array = np.mean([one(*side) for side in metrics.sides(truth, scores)], axis=0)
    return moves


INFLUENCES: dict[str, Callable[[Array, Array], Array]] = {
    "accuracy": accuracy,
    "f1": f1,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "ks": ks,
    "log_loss": log_loss,
    "brier": brier,
    "rmse": rmse,
    "mae": mae,
    "r2": r2,
}
