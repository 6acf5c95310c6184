"""Calibrated probabilities → the metrics that they let expect, where no truth has come in. Pure.

If of all rows with the probability p a share p comes true, then the confusion of a classifier is
known but for chance. That holds while the world changes in its inputs alone: where the labels of
the same inputs turn, an estimate does not see it (`python -m benchmarks monitoring` says by how
much it errs).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

from treeline.artifact import Prediction
from treeline.contract.counts import Array

LEAST = float(np.finfo(np.float32).eps)


def estimated(prediction: Prediction, before: Mapping[str, Any] | None) -> dict[str, float]:
    """Return metrics that the rows of a window let expect; none of labels alone, or of values.

    Probabilities of two classes are first brought to what came true of such on the test rows, where
    the `calibration` of an evaluation says so: an isotonic regression over its bins.
    """
    if prediction.scores is None or prediction.labels is None or not len(prediction.labels):
        return {}
    scores, labels = np.asarray(prediction.scores, dtype=np.float64), prediction.labels
    if scores.shape[1] > 2:
        return {name: float(each(scores, labels)) for name, each in OF_MANY.items()}
    positive = np.clip(scores[:, 1], 0, 1)
    likely = positive if before is None else calibrated(positive, before)
    return {name: float(each(likely, labels, positive)) for name, each in OF_TWO.items()}


def calibrated(share: Array, bins: Mapping[str, Any]) -> Array:
    """Return what came true of rows with such a probability, shape (n,)."""
    rows = np.asarray(bins["rows"], dtype=np.float64)
    filled = rows > 0
    if filled.sum() < 2:
        return share
    predicted = np.asarray(bins["told"])[filled]
    rates = np.asarray(bins["hits"])[filled] / rows[filled]
    rising = isotonic_regression(rates, weights=rows[filled]).x
    return np.asarray(np.interp(share, predicted, rising))


def _accuracy(likely: Array, labels: Array, _: Array) -> float:
    return float(np.mean(np.where(labels == 1, likely, 1 - likely)))


def _f1(likely: Array, labels: Array, _: Array) -> float:
    named = likely.sum() + np.sum(labels == 1)
    return float(2 * likely[labels == 1].sum() / named) if named else 0.0


def _roc_auc(likely: Array, _: Array, share: Array) -> float:
    """Weigh each pair of rows by the chance that one comes true and the other does not."""
    order = np.argsort(share, kind="stable")
    ordered, hit = share[order], likely[order]
    miss = 1 - hit
    below = np.concatenate([[0.0], np.cumsum(miss)])
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right")
    tied = below[last] - below[first] - miss  # a row makes no pair with itself
    won = float(np.sum(hit * (below[first] + tied / 2)))
    pairs = float(hit.sum() * miss.sum() - np.sum(hit * miss))
    return won / pairs if pairs > 0 else float("nan")


def _ks(likely: Array, _: Array, share: Array) -> float:
    order = np.argsort(share, kind="stable")
    hit = np.cumsum(likely[order]) / max(likely.sum(), LEAST)
    miss = np.cumsum(1 - likely[order]) / max((1 - likely).sum(), LEAST)
    last = np.searchsorted(share[order], share[order], side="right") - 1
    return float(np.max(np.abs(hit - miss)[last]))


def _average_precision(likely: Array, _: Array, share: Array) -> float:
    order = np.argsort(-share, kind="stable")
    hit = likely[order]
    places = len(hit) + 1 - rankdata(share[order], method="min")  # rows with at least this score
    precision = np.cumsum(hit)[places.astype(np.intp) - 1] / places
    return float(np.sum(hit * precision) / max(hit.sum(), LEAST))


def _log_loss(likely: Array, _: Array, share: Array) -> float:
    given = np.clip(share, LEAST, 1 - LEAST)
    return float(-np.mean(likely * np.log(given) + (1 - likely) * np.log1p(-given)))


def _brier(likely: Array, _: Array, share: Array) -> float:
    return float(np.mean(likely * (1 - share) ** 2 + (1 - likely) * share**2))


OF_TWO: dict[str, Callable[[Array, Array, Array], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "ks": _ks,
    "log_loss": _log_loss,
    "brier": _brier,
}

OF_MANY: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": lambda scores, labels: float(np.mean(scores[np.arange(len(labels)), labels])),
    "log_loss": lambda scores, _: float(
        -np.mean(np.sum(scores * np.log(np.clip(scores, LEAST, 1)), axis=1))
    ),
    "brier": lambda scores, _: float(np.mean(1 - np.sum(scores**2, axis=1))),
}
