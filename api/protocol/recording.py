"""What was predicted for the rows of a request → the prediction log and the counters.

A row of a small request is recorded as if it had been asked for alone, those of a large one all
together. Either way a row is there under the id that its caller got.
"""

from dataclasses import dataclass
from time import time
from typing import Any

import numpy as np
from pydantic_core import to_json

from api.prediction.answers import Answers
from api.prediction.micro_batching import Predicted
from api.prediction_log.log import Log
from api.prediction_log.rows import RowsFrame
from api.protocol.plain import PlainModel
from api.protocol.typed import PredictedRows
from api.telemetry.metrics import Metrics, ModelMetrics
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError


@dataclass(frozen=True)
class Recorder:
    """Records and counts what is answered; called from threads."""

    log: Log | None
    metrics: Metrics

    def answered(self, answered: PredictedRows, signature: Signature, *, seconds: float) -> None:
        """Record the rows of a request that took so many seconds."""
        each_seconds = seconds / len(answered.matrix)
        if answered.records:
            self._one_by_one(answered, signature, seconds=each_seconds)
            return
        self.metrics.batch_rows(signature.name, signature.version, "answered", len(answered.matrix))
        if self.log is not None:
            draft = self.log.batch()
            frame = frame_of(answered, time=time(), latency_seconds=each_seconds)
            try:
                draft.add(frame.to_bytes(signature, redact=self.log.redacted(signature.name)))
                draft.commit()
            finally:
                draft.discard()

    def redacted(self, model: str) -> frozenset[str]:
        """Return the names of inputs that are not recorded of a model."""
        return frozenset() if self.log is None else self.log.redacted(model)

    def ran(self, model: PlainModel, question: bytes, answer: bytes, *, seconds: float) -> None:
        """Record a run of a model without a signature: the JSON of what was asked and answered."""
        self.metrics.model(model.name, model.version, ()).answered(None, seconds)
        if self.log is not None:
            self.log.record(time(), seconds, question, answer)

    def refused(self, error: InvalidInputError, signature: Signature) -> None:
        """Count what was wrong with the tensors of a request."""
        self._counters(signature).refused(problem.place for problem in error.problems)

    def _one_by_one(self, answered: PredictedRows, signature: Signature, *, seconds: float) -> None:
        counters = self._counters(signature)
        answers = Answers(signature)
        rows = zip(answered.ids(), answered.records, predicted_rows(answered), strict=True)
        for prediction_id, record, predicted in rows:
            counters.answered(predicted.label, seconds)
            if self.log is not None:
                answer = answers.written(predicted, prediction_id=prediction_id)
                self.log.record(time(), seconds, to_json(record), answer)

    def _counters(self, signature: Signature) -> ModelMetrics:
        return self.metrics.model(
            signature.name, signature.version, signature.classes, features=signature.features
        )


def frame_of(answered: PredictedRows, *, time: float, latency_seconds: float) -> RowsFrame:
    """Return the frame in which many rows are recorded."""
    return RowsFrame(
        time=time,
        latency_seconds=latency_seconds,
        id_prefix=answered.id_prefix,
        numbers=np.arange(1, len(answered.matrix) + 1, dtype=np.int64),
        matrix=answered.matrix,
        labels=answered.prediction.labels,
        scores=answered.prediction.scores,
        values=answered.prediction.values,
    )


def predicted_rows(answered: PredictedRows) -> list[Predicted]:
    """Return what was predicted for each row."""
    found = answered.prediction
    columns: list[list[Any]] = [
        [None] * len(answered.matrix) if each is None else each.tolist()
        for each in (found.labels, found.scores, found.values)
    ]
    return [Predicted(*row) for row in zip(*columns, strict=True)]
