"""What a model says of the rows of a part → that part of the answer, and of the log."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

from api.batch.answers import CsvForm, Form, JsonForm, ListForm, answered, of_no_rows, usable
from api.batch.jobs import EncodedPart, Job, Part
from api.prediction_log.rows import RowsFrame
from treeline.artifact.prediction import Prediction
from treeline.contract.signature import Signature
from treeline.registry import resolve

ARROW = {
    "form": "api.batch.arrow_answers:ArrowForm",
    "to_parquet": "api.batch.arrow_answers:to_parquet",
}
FORMS: dict[str, type[Form]] = {"csv": CsvForm, "lines": JsonForm, "json": ListForm}
NO_ANSWER = "the model has no answer to this row"


def head(signature: Signature, job: Job) -> bytes:
    """Return what stands before all rows of the answer; raises MissingExtraError."""
    found: bytes = form_of(signature, job).head()
    return found


def finish(signature: Signature, job: Job, taken: EncodedPart, prediction: Prediction) -> Part:
    """Write the rows of a part; raises UnusableAnswerError.

    Where bad rows are reported, one that the model has no answer for is one of them.
    """
    count = len(taken.numbers)
    good = np.ones(count, dtype=np.bool_)
    good[taken.bad] = False
    reasons = dict(zip(taken.bad.tolist(), from_json(taken.reasons), strict=True))
    counts, matrix = taken.counts, taken.matrix
    keys = from_json(taken.keys) if taken.keys else None
    fine = usable(prediction, signature) if job.reporting and len(matrix) else None
    if fine is not None and not fine.all():
        without = np.flatnonzero(good)[~fine]
        reasons = dict(sorted({**reasons, **dict.fromkeys(without.tolist(), NO_ANSWER)}.items()))
        good[without] = False
        prediction, matrix = only(prediction, fine), matrix[fine]
        keys = keys and [key for key, held in zip(keys, fine.tolist(), strict=True) if held]
        counts = replace(
            counts,
            bad_rows=counts.bad_rows + len(without),
            problem_count=counts.problem_count + len(without),
        )
    checked = answered(prediction, signature) if len(matrix) else of_no_rows(signature)
    answer = form_of(signature, job).written(checked, taken.numbers, reasons)
    frame = b""
    if job.logged and len(matrix):
        frame = RowsFrame(
            time=taken.started,
            latency_seconds=(time.time() - taken.started) / count,
            id_prefix=job.batch_id,
            numbers=taken.numbers[good],
            matrix=matrix,
            labels=prediction.labels,
            scores=prediction.scores,
            values=prediction.values,
            keys=keys,
        ).to_bytes(signature, redact=job.redacted)
    return replace(counts, answer=answer, frame=frame)


def only(prediction: Prediction, rows: Any) -> Prediction:
    """Return what a prediction says of some rows."""
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else part[rows] for part in parts))


def form_of(signature: Signature, job: Job) -> Any:
    """Return what writes the answer; raises MissingExtraError."""
    kind = FORMS.get(job.wanted)
    if kind is None:
        kind = resolve(ARROW, "form", place="Accept", extra="arrow")
    return kind(signature, batch_id=job.batch_id, reporting=job.reporting)


def to_parquet(stream: Path, target: Path) -> None:
    """Make a Parquet file of a finished stream."""
    resolve(ARROW, "to_parquet", place="Accept", extra="arrow")(stream, target)
