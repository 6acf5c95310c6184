"""Truth + prediction of the test split → what a monitor compares the answers of a service with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.evaluation.diagnostics import BINS
from treeline.records.evaluation import Answers, ClassCalibration

DECILES = np.linspace(0, 1, 11)[1:-1]
DIGITS = 6  # processors differ in the last digits of a sum

Array = NDArray[Any]


def answers(truth: Array, prediction: Prediction, classes: int) -> Answers:
    """Return how a model answered `rows` test rows, and how often that came true, as counts.

    `labels` counts the predicted classes. `scores` counts the score of a row (the probability of
    the positive class, beyond two classes of the predicted one; the value of a regression) between
    its deciles, `edges`. `calibration` has, for BINS bins of that probability of equal width, the
    `rows`, their mean probability `told` and how many came true, `hits`; of a regression instead
    the `bias` of the values, its `deviation` and the `rows`. Shapes: (n_rows,), (n_rows, classes).
    """
    summary: Answers = {"rows": len(truth)}
    if prediction.labels is not None:
        summary["labels"] = np.bincount(prediction.labels, minlength=classes).tolist()
    scores = score_of(prediction)
    if scores is None:
        return summary
    edges = sorted({_rounded(edge) for edge in np.quantile(scores, DECILES)})
    counts = np.bincount(places(scores, edges), minlength=len(edges) + 1)
    summary["scores"] = {"edges": edges, "counts": counts.tolist()}
    if prediction.values is not None:
        errors = scores - np.asarray(truth, dtype=np.float64)
        summary["calibration"] = {
            "rows": len(truth), "bias": _rounded(errors.mean()), "deviation": _rounded(errors.std())
        }  # fmt: skip
    else:
        summary["calibration"] = came_true(scores, hits(truth, prediction))
    return summary


def score_of(prediction: Prediction) -> Array | None:
    """Return the one number that says most of an answer, shape (n_rows,), or None of labels."""
    if prediction.values is not None:
        return np.asarray(prediction.values, dtype=np.float64)
    if prediction.scores is None or prediction.labels is None:
        return None
    scores = np.asarray(prediction.scores, dtype=np.float64)
    taken = 1 if scores.shape[1] == 2 else prediction.labels
    return np.asarray(scores[np.arange(len(scores)), taken])


def hits(truth: Array, prediction: Prediction) -> Array:
    """Return whether what the score of each row speaks of came true, shape (n_rows,)."""
    assert prediction.scores is not None and prediction.labels is not None
    return np.asarray(truth == (1 if prediction.scores.shape[1] == 2 else prediction.labels))


def places(values: Array, edges: list[float] | tuple[float, ...]) -> Array:
    """Return the bin of each value, shape (n,): a bin holds its lower edge, in float32."""
    limits = np.asarray(edges, dtype=np.float32)
    return np.searchsorted(limits, np.asarray(values, dtype=np.float32), side="right")


def came_true(scores: Array, hit: Array) -> ClassCalibration:
    """Count rows and hits by probability, in BINS bins of equal width; arrays of shape (n,)."""
    share = np.clip(scores, 0, 1)
    place = np.minimum((share * BINS).astype(np.intp), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    forecast = np.bincount(place, weights=share, minlength=BINS) / np.maximum(rows, 1)
    return {
        "rows": rows.tolist(),
        "told": [_rounded(each) for each in forecast],
        "hits": np.bincount(place, weights=hit, minlength=BINS).astype(int).tolist(),
    }


def _rounded(value: float) -> float:
    return float(f"{float(value):.{DIGITS}g}")
