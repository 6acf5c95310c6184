"""Codes of many rows → what the model says of each, the same as of one row alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from api.prediction.predictor import Apart
from treeline.artifact.prediction import Prediction
from treeline.artifact.store import Model
from treeline.contract.encoding import Matrix

RUN_ROWS = 8192  # what a model is given at once: more leave the processor's cache
LEAST_ROWS = 2  # see api.prediction.micro_batching: a row that is alone goes another way


def predict(model: Model, matrix: Matrix) -> Prediction:
    """Predict rows in runs of a size that is good for the processor, never one row alone."""
    runs = _runs(matrix)
    return _joined([_cut(model.runtime.predict(_padded(run)), len(run)) for run in runs])


async def predict_apart(apart: Apart, matrix: Matrix) -> Prediction:
    """Predict rows likewise with a model that runs in another process; cancelled, it is killed."""
    return _joined([_cut(await apart(_padded(run)), len(run)) for run in _runs(matrix)])


def _runs(matrix: Matrix) -> list[Matrix]:
    return [matrix[start : start + RUN_ROWS] for start in range(0, len(matrix), RUN_ROWS)]


def _padded(run: Matrix) -> Matrix:
    return run if len(run) >= LEAST_ROWS else np.repeat(run, LEAST_ROWS, axis=0)


def _cut(found: Prediction, count: int) -> Prediction:
    """Return what a run gave for its own rows."""
    if count >= LEAST_ROWS:
        return found
    parts = (found.labels, found.scores, found.values)
    return Prediction(*(None if part is None else part[:count] for part in parts))


def _joined(found: Sequence[Prediction]) -> Prediction:
    """Return what several runs gave as one."""
    if not found:
        return Prediction()

    def joined(arrays: list[Any]) -> Any:
        return None if arrays[0] is None else np.concatenate(arrays)

    return Prediction(
        labels=joined([each.labels for each in found]),
        scores=joined([each.scores for each in found]),
        values=joined([each.values for each in found]),
    )
