"""Codes of many rows → what the model says of each, the same as of one row alone."""

from typing import Any

import numpy as np

from treeline.artifact.encoding import Matrix
from treeline.artifact.prediction import Prediction
from treeline.artifact.store import Model

RUN_ROWS = 8192  # what a model is given at once: more leave the processor's cache
LEAST_ROWS = 2  # see api.prediction.gathering: a row that is alone goes another way


def predict(model: Model, matrix: Matrix) -> Prediction:
    """Predict rows in runs of a size that is good for the processor, never one row alone."""
    count = len(matrix)
    if not count:
        return Prediction()
    starts = range(0, count, RUN_ROWS)
    found = [_run(model, matrix[start : start + RUN_ROWS]) for start in starts]

    def joined(arrays: list[Any]) -> Any:
        return None if arrays[0] is None else np.concatenate(arrays)

    return Prediction(
        labels=joined([each.labels for each in found]),
        scores=joined([each.scores for each in found]),
        values=joined([each.values for each in found]),
    )


def _run(model: Model, matrix: Matrix) -> Prediction:
    count = len(matrix)
    if count >= LEAST_ROWS:
        return model.runtime.predict(matrix)
    found = model.runtime.predict(np.repeat(matrix, LEAST_ROWS, axis=0))
    parts = (found.labels, found.scores, found.values)
    return Prediction(*(None if part is None else part[:count] for part in parts))
