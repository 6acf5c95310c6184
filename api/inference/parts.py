"""One part of a batch becomes its part of the answer: what the processes beside a worker do.

A part is read, predicted and written. Where such a process has the model, it does all three. Where
not, the model of the worker predicts between two calls: what a stranger sends is read apart in any
case. A row is predicted the same as it is alone.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from api.contract.faults import BODY, MAX_PROBLEMS, Fault
from api.formats.answers import CsvForm, Form, JsonForm, ListForm, answered, of_no_rows, usable
from api.formats.csv import CsvColumns
from api.formats.explained import Explained
from api.formats.explained import of_no_rows as nothing_explained
from api.formats.json import JsonRecords
from api.formats.rows import (
    SPOOLED,
    Contract,
    EncodedPart,
    Job,
    ModelAbsent,
    Part,
    Payload,
    Rows,
    Table,
    read_part,
)
from api.inference.explanations import here
from api.inference.record import Apart
from api.prediction_log.rows import RowsFrame
from api.sandbox.limits import reuse_memory
from treeline.artifact import Prediction
from treeline.artifact.store import ArtifactStore, Model
from treeline.contract.encoding import Encoder, Matrix
from treeline.contract.signature import Signature
from treeline.errors import ArtifactError, ConfigError, Problem
from treeline.registry import resolve

READERS = {"rows": "api.formats.arrow:rows", "inspect": "api.formats.arrow:inspect"}
MOST_REPORTED = 1000  # rows of a part of which is said what is wrong, where bad rows are reported
MOST_REASONS = 10  # that a row itself says
NOT_SAID = f"is refused; of each part of a batch, the first {MOST_REPORTED} bad rows say why"
MOST_CONTRACTS = 8


def inspect(contract: Contract, job: Job, payload: Payload) -> None:
    """Check lengths and columns of a spooled table; raises TreelineError."""
    if job.given in SPOOLED:
        check = resolve(READERS, "inspect", place="Content-Type", extra="arrow")
        check(table_of(job, payload), contract, extra=job.extra)


def take(contract: Contract, job: Job, payload: Payload, first: int) -> EncodedPart | Part:
    """Read the rows of a part; raises TreelineError.

    `first` is the number of the first row, or that of the part of a table. There is nothing
    to predict past the end, and where bad rows are not reported.
    """
    started = time.time()
    rows = read(contract, job, payload, first)
    if rows is None:
        return Part(ended=True)
    counts = counted(rows, job)
    if rows.bad and not job.reporting:
        return counts
    matrix, _ = rows.good()
    reasons = to_json([reason(fault, contract, job) for fault in rows.bad.values()])
    bad = np.array(list(rows.bad), dtype=np.int64)
    own_keys = rows.good_keys()
    keys = b"" if own_keys is None else to_json(own_keys)
    return EncodedPart(counts, matrix, rows.numbers, bad, reasons, started, keys)


def read(contract: Contract, job: Job, payload: Payload, first: int) -> Rows | None:
    """Return the rows of a part, or None past the end of a table that is read in parts."""
    most = MOST_REPORTED if job.reporting else MAX_PROBLEMS
    if job.given in SPOOLED:
        rows = resolve(READERS, "rows", place="Content-Type", extra="arrow")
        table = table_of(job, payload)
        return read_part(job.path, first, lambda: rows(table, contract, most_explained=most))
    if job.given == "csv":
        columns = columns_of(contract, job.names)
        return columns.read(bytes(payload), first=first, most_explained=most)
    records = JsonRecords(contract, most_explained=most, extra=job.extra)
    if job.given == "lines":
        return records.lines(bytes(payload), first=first)
    if job.path:
        most = job.memory_bytes
        return read_part(
            job.path,
            first,
            lambda: records.columns(payload, part_rows=job.part_rows, memory_bytes=most),
        )
    return records.elements(bytes(payload), first=first)


def table_of(job: Job, payload: Payload) -> Table:
    """Return a spooled table, or one that is held in memory."""
    return Table(
        kind=job.given,
        path=job.path,
        payload=payload,
        part_rows=job.part_rows,
        most_rows=job.most_rows,
        memory_bytes=job.memory_bytes,
    )


@lru_cache(maxsize=MOST_CONTRACTS)
def columns_of(contract: Contract, names: tuple[str, ...]) -> CsvColumns:
    """Return what reads the chunks of a CSV; it is made once for all of them."""
    return CsvColumns(contract, names)


def counted(rows: Rows, job: Job) -> Part:
    """Return how many rows a part has, and what is wrong with the first bad ones."""
    located_problems = (
        located(problem, number=int(rows.numbers[at]))
        for at, fault in rows.bad.items()
        for problem in fault.problems
    )
    return Part(
        rows=len(rows.numbers),
        bad_rows=len(rows.bad),
        problems=tuple(islice(located_problems, MAX_PROBLEMS)),
        problem_count=sum(fault.count for fault in rows.bad.values()),
        ignored=rows.ignored,
    )


def located(problem: Problem, *, number: int) -> Problem:
    """Return a problem with the row in its place, as `row 3: Soil`."""
    field = "" if problem.place == BODY else problem.place
    place = f"row {number}: {field}" if field else f"row {number}"
    return Problem(place, problem.message, problem.value, problem.admitted)


def reason(fault: Fault, contract: Contract, job: Job) -> str:
    """Return why a row is bad, as the row itself says it; values of redacted features are not said.

    It stands in the file of the answer, and what is redacted must not reach the disk.
    """
    if not fault.problems:
        return NOT_SAID
    said = [
        worded(problem, contract, redacted=problem.place in job.redacted)
        for problem in fault.problems[:MOST_REASONS]
    ]
    if (more := fault.count - len(said)) > 0:
        said.append(f"and {more} more problems")
    return "; ".join(said)


def worded(problem: Problem, contract: Contract, *, redacted: bool) -> str:
    """Return a problem as a row says it."""
    message = problem.message
    feature = contract.features.get(problem.place)
    if redacted:
        message = f"is refused; give {feature.describe()}" if feature else "is refused"
    named = problem.place not in ("", BODY)
    return f"{problem.place}: {message}" if named else message


WRITING = {
    "form": "api.formats.arrow:ArrowForm",
    "to_parquet": "api.formats.arrow:to_parquet",
}
FORMS: dict[str, type[Form]] = {"csv": CsvForm, "lines": JsonForm, "json": ListForm}
NO_ANSWER = "the model has no answer to this row"
NOT_EXPLAINED = "the model has no answer to this row, or none that can be explained"


def head(signature: Signature, job: Job) -> bytes:
    """Return what stands before all rows of the answer; raises MissingExtraError."""
    head: bytes = form_of(signature, job).head()
    return head


def finish(
    signature: Signature,
    job: Job,
    taken: EncodedPart,
    prediction: Prediction,
    explained: Explained | None = None,
) -> Part:
    """Write the rows of a part; raises UnusableAnswerError.

    Where bad rows are reported, one that the model has no answer for is one of them, and so is one
    whose answer is not explained though it should be.
    """
    count = len(taken.numbers)
    good = np.ones(count, dtype=np.bool_)
    good[taken.bad] = False
    reasons = dict(zip(taken.bad.tolist(), from_json(taken.reasons), strict=True))
    counts, matrix = taken.counts, taken.matrix
    keys = from_json(taken.keys) if taken.keys else None
    fine = usable(prediction, signature) if job.reporting and len(matrix) else None
    if fine is not None and explained is not None:
        fine &= explained.usable()
    if fine is not None and not fine.all():
        without = np.flatnonzero(good)[~fine]
        said = NO_ANSWER if explained is None else NOT_EXPLAINED
        reasons = dict(sorted({**reasons, **dict.fromkeys(without.tolist(), said)}.items()))
        good[without] = False
        prediction, matrix = only(prediction, fine), matrix[fine]
        explained = explained and explained.of(fine)
        keys = keys and [key for key, held in zip(keys, fine.tolist(), strict=True) if held]
        counts = replace(
            counts,
            bad_rows=counts.bad_rows + len(without),
            problem_count=counts.problem_count + len(without),
        )
    checked = answered(prediction, signature) if len(matrix) else of_no_rows(signature)
    if job.explaining:
        made = explained.checked(signature) if explained else nothing_explained(signature)
        checked = replace(checked, explained=made)
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
        kind = resolve(WRITING, "form", place="Accept", extra="arrow")
    return kind(
        signature, batch_id=job.batch_id, reporting=job.reporting, explaining=job.explaining
    )


def to_parquet(stream: Path, target: Path) -> None:
    """Make a Parquet file of a finished stream."""
    resolve(WRITING, "to_parquet", place="Accept", extra="arrow")(stream, target)


RUN_ROWS = 8192  # what a model is given at once: more leave the processor's cache
LEAST_ROWS = 2  # see api.inference.micro_batching: a row that is alone goes another way


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


def _cut(prediction: Prediction, count: int) -> Prediction:
    """Return what a run gave for its own rows."""
    if count >= LEAST_ROWS:
        return prediction
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else part[:count] for part in parts))


def _joined(predictions: Sequence[Prediction]) -> Prediction:
    """Return what several runs gave as one."""
    if not predictions:
        return Prediction()

    def joined(arrays: list[Any]) -> Any:
        return None if arrays[0] is None else np.concatenate(arrays)

    return Prediction(
        labels=joined([each.labels for each in predictions]),
        scores=joined([each.scores for each in predictions]),
        values=joined([each.values for each in predictions]),
    )


MOST_MODELS = 8  # in the memory of one process
PREPARING = {"prepare": "api.formats.arrow:prepare"}
MODELS: dict[tuple[Path, str, str], tuple[Model, Contract]] = {}


def prepare() -> None:
    """Make a new process ready to read batches, before it is limited."""
    reuse_memory()
    if find_spec("pyarrow") is not None:
        resolve(PREPARING, "prepare", place="Content-Type", extra="arrow")()


def compute_part(job: Job, payload: Payload, first: int) -> Part | ModelAbsent:
    """Read, predict and write a part, where the model is here; raises TreelineError."""
    loaded = model_of(job)
    if loaded is None:
        return ModelAbsent()
    model, contract = loaded
    taken = take(contract, job, payload, first)
    if isinstance(taken, Part):
        return taken
    prediction, explained = predict(model, taken.matrix), None
    if job.explaining and len(taken.matrix):
        explained = here.explained(job, model, taken.matrix, partial(predict, model))
    return finish(model.signature, job, taken, prediction, explained)


def explain_here(job: Job, matrix: Matrix) -> Explained | ModelAbsent:
    """Explain the answers to rows, where the model is here; raises TreelineError."""
    loaded = model_of(job)
    if loaded is None:
        return ModelAbsent()
    return here.explained(job, loaded[0], matrix, partial(predict, loaded[0]))


def begin_here(signature: str, job: Job, payload: Payload) -> bytes:
    """Check the columns of a table, and return the head of the answer; raises TreelineError."""
    contract = contract_of(signature)
    inspect(contract, job, payload)
    return head(contract.signature, job)


def take_here(signature: str, job: Job, payload: Payload, first: int) -> EncodedPart | Part:
    """Read a part whose model is elsewhere; raises TreelineError."""
    return take(contract_of(signature), job, payload, first)


def finish_here(
    signature: str,
    job: Job,
    taken: EncodedPart,
    prediction: Prediction,
    explained: Explained | None = None,
) -> Part:
    """Write a part whose model is elsewhere; raises UnusableAnswerError."""
    return finish(contract_of(signature).signature, job, taken, prediction, explained)


def model_of(job: Job) -> tuple[Model, Contract] | None:
    """Return the model of a job in this process, None where the very one is not on disk."""
    key = (job.model_dir, job.name, job.version)
    if key not in MODELS:
        try:
            store = ArtifactStore(job.model_dir, admitted=job.admitted, trust=job.trust)
            model = store.load(job.name)
        except (ArtifactError, ConfigError, OSError):
            return None
        if model.signature.version != job.version:
            return None
        while len(MODELS) >= MOST_MODELS:
            MODELS.pop(next(iter(MODELS)))
        MODELS[key] = model, Contract(model.signature, model.encoder)
    return MODELS[key]


@lru_cache(maxsize=MOST_MODELS)
def contract_of(signature: str) -> Contract:
    """Return what a signature promises; it is made once for each."""
    read = Signature.model_validate_json(signature)
    return Contract(read, Encoder(read.features))
