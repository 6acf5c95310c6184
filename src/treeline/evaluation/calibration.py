"""Probabilities or values, and what came true → how far they can be taken at their word."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction

BINS = 10  # of equal width, as Guo and others (2017)

Array = NDArray[Any]


def calibration(truth: Array, prediction: Prediction) -> dict[str, float] | None:
    """Return the calibration as numbers, or None where labels are all there is.

    Of probabilities: `ece`, the expected calibration error (Naeini and others 2015) of the positive
    class, or beyond two classes of the likeliest one (Guo and others 2017); and of the same bins
    the parts of the Brier score (Murphy 1973), of which `reliability` is what calibration costs,
    `resolution` what telling rows apart gains, and `uncertainty` what the shares alone would have.
    Of values: `bias`, their mean minus that of the truth, and `slope`, by how much the truth rises
    with them, 1 where they are right (Mincer and Zarnowitz 1969); and `at_most`, the share of rows
    whose truth is at most the value, which for a quantile is what it is of.
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


def _of_shares(hit: Array, share: Array) -> dict[str, float]:
    place = np.minimum((share * BINS).astype(np.intp), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    filled = rows > 0
    came_true = np.bincount(place, weights=hit, minlength=BINS)[filled] / rows[filled]
    told = np.bincount(place, weights=share, minlength=BINS)[filled] / rows[filled]
    weight, whole = rows[filled] / len(hit), float(hit.mean())
    found = {
        "ece": np.sum(weight * np.abs(came_true - told)),
        "reliability": np.sum(weight * (came_true - told) ** 2),
        "resolution": np.sum(weight * (came_true - whole) ** 2),
        "uncertainty": whole * (1 - whole),
    }
    return {name: round(float(value), 6) for name, value in found.items()}


def _of_values(truth: Array, values: Array) -> dict[str, float]:
    spread = float(np.mean((values - values.mean()) ** 2))
    found = {
        "bias": round(float(np.mean(values) - np.mean(truth)), 6),
        "at_most": round(float(np.mean(truth <= values)), 6),
    }
    if spread:
        both = float(np.mean((values - values.mean()) * (truth - truth.mean())))
        found["slope"] = round(both / spread, 6)
    return found
