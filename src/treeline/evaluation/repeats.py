"""Predictions of the judged rows → metrics, and how much each row moves them. Pure.

Rows may be predicted by refits, each of which predicts one part. Their levels differ, and always
against the truth: whoever learns without a part that has many positives expects fewer of them, and
predicts just that part. Ranks over all rows take this difference for an answer: class shares, which
know nothing, have an area under the ROC curve of 0 where one row is left out at a time. So a metric
of ranks is that of the rows within a part, and in the mean over the parts, by their rows (Parker,
Günter and Bedo 2007; Forman and Scholz 2010).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.artifact.prediction import Prediction
from treeline.config.metrics import METRICS
from treeline.evaluation.influence import influence
from treeline.metrics import score

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
        """Return the predictions of some rows, by position."""
        predictions = {who: _of(each, rows) for who, each in self.predictions.items()}
        return Repeat(predictions, None if self.parts is None else self.parts[rows])

    def measured(self, who: str, truth: Array, names: list[str]) -> Measured:
        """Return the value of each named metric and the influence of each row, shape (n_rows,).

        Left out are metrics of probabilities where there are none, and metrics of ranks where no
        part has a row of each class.
        """
        prediction = self.predictions[who]
        found: Measured = {}
        for name in names:
            if METRICS[name].ranks and self.parts is not None and prediction.scores is not None:
                within = _within(name, truth, prediction.scores, self.parts)
                found |= {} if within is None else {name: within}
            else:
                found |= {
                    name: (value, _influence(name, truth, prediction))
                    for name, value in score(truth, prediction, [name]).items()
                }
        return found


def _within(name: str, truth: Array, scores: Array, parts: Array) -> tuple[float, Array] | None:
    """Return the mean over the parts, by their rows, of a metric; None where it has none in all."""
    values, moves, counts = np.zeros(len(truth)), np.zeros(len(truth)), 0
    known = np.zeros(len(truth), dtype=np.bool_)
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        if len(np.unique(truth[rows])) < scores.shape[1]:
            continue
        prediction = Prediction(scores=scores[rows])
        values[rows] = score(truth[rows], prediction, [name])[name]
        moved = influence(name, truth[rows], scores[rows]) * _enlarged(truth[rows])
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


def _influence(name: str, truth: Array, prediction: Prediction) -> Array:
    return influence(name, truth, getattr(prediction, METRICS[name].judges))


def _of(prediction: Prediction, rows: Array) -> Prediction:
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else part[rows] for part in parts))
