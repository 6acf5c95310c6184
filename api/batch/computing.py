"""One part of a batch → its part of the answer: what the processes beside a worker do."""

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from api.batch.answers import Answered, CsvForm, Form, JsonForm, ListForm, answered
from api.batch.csv_columns import CsvColumns
from api.batch.json_records import JsonRecords
from api.batch.predicting import predict
from api.batch.rows import Contract, Rows
from api.contract.validation import BODY, MAX_PROBLEMS
from api.prediction_log.rows import RowsFrame
from treeline.artifact.store import ArtifactStore, Model
from treeline.errors import ArtifactError, InvalidInputError, Problem
from treeline.registry import resolve

MAX_MODELS = 8  # in the memory of one process
ARROW = {
    "read": "api.batch.arrow:read",
    "inspect": "api.batch.arrow:inspect",
    "form": "api.batch.arrow:ArrowForm",
    "to_parquet": "api.batch.arrow:to_parquet",
}
FORMS: dict[str, type[Form]] = {"csv": CsvForm, "lines": JsonForm, "json": ListForm}


@dataclass(frozen=True)
class Job:
    """What is the same for all parts of one batch."""

    model_dir: Path
    admitted: frozenset[str]
    name: str
    version: str
    batch_id: str
    given: str
    wanted: str
    names: tuple[str, ...] = ()
    path: str = ""
    reporting: bool = False
    logged: bool = False
    redacted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """What becomes of one part: bytes of the answer, what is wrong with its bad rows, its log."""

    answer: bytes = b""
    rows: int = 0
    bad_rows: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    frame: bytes = b""
    ended: bool = False


@dataclass(frozen=True)
class Refusal:
    """An InvalidInputError on its way between processes, which it could not go itself."""

    problems: tuple[Problem, ...]


class OtherModelError(Exception):
    """The model of this version is not on disk, where a process beside the worker looks for it."""


MODELS: dict[tuple[Path, str, str], Model] = {}


def model_of(job: Job) -> Model:
    """Return the model of a job in this process; raises OtherModelError."""
    key = (job.model_dir, job.name, job.version)
    if key not in MODELS:
        try:
            model = ArtifactStore(job.model_dir, admitted=job.admitted).load(job.name)
        except (ArtifactError, OSError) as error:
            raise OtherModelError(job.name) from error
        if model.signature.version != job.version:
            raise OtherModelError(job.name)
        while len(MODELS) >= MAX_MODELS:
            MODELS.pop(next(iter(MODELS)))
        MODELS[key] = model
    return MODELS[key]


def compute_here(job: Job, payload: bytes, first: int) -> Part | Refusal:
    """Compute a part in a process of its own; raises OtherModelError and TreelineError."""
    try:
        return compute(model_of(job), job, payload, first)
    except InvalidInputError as error:
        return Refusal(tuple(error.problems))


def inspect_here(job: Job) -> bytes | Refusal:
    """Look at a spooled table in a process of its own; raises OtherModelError, TreelineError."""
    try:
        return inspect(model_of(job), job)
    except InvalidInputError as error:
        return Refusal(tuple(error.problems))


def to_parquet(stream: Path, target: Path) -> None:
    """Make a Parquet file of a finished stream."""
    resolve(ARROW, "to_parquet", place="Accept", extra="arrow")(stream, target)


def head(model: Model, job: Job) -> bytes:
    """Return what stands before all rows of the answer; raises MissingExtraError."""
    found: bytes = form_of(model, job).head()
    return found


def inspect(model: Model, job: Job) -> bytes:
    """Check the columns of a spooled table, and return the head of the answer."""
    if job.path:
        check = resolve(ARROW, "inspect", place="Content-Type", extra="arrow")
        check(job.path, job.given, contract_of(model))
    return head(model, job)


def compute(model: Model, job: Job, payload: bytes, first: int) -> Part:
    """Read rows, predict the good ones, write all; raises TreelineError.

    `first` is the number of the first row or line, or that of the part of a spooled table.
    """
    start = time.time()
    rows = read(model, job, payload, first)
    if rows is None:
        return Part(ended=True)
    count, bad = len(rows.numbers), rows.bad
    told = [
        located(problem, number=int(rows.numbers[at]), job=job)
        for at, found in list(bad.items())[:MAX_PROBLEMS]
        for problem in found
    ][:MAX_PROBLEMS]
    counts = {
        "rows": count,
        "bad_rows": len(bad),
        "problems": tuple(told),
        "problem_count": sum(map(len, bad.values())),
    }
    if bad and not job.reporting:
        return Part(**counts)  # type: ignore[arg-type]  # each has its own type
    good = np.ones(count, dtype=np.bool_)
    good[list(bad)] = False
    matrix, numbers = (
        (rows.matrix[good], rows.numbers[good]) if bad else (rows.matrix, rows.numbers)
    )
    prediction = predict(model, matrix)
    checked = answered(prediction, model.signature) if len(matrix) else Answered(None, None, {})
    reasons = {at: "; ".join(map(reason, found)) for at, found in bad.items()}
    answer = form_of(model, job).written(checked, rows.numbers, reasons)
    frame = b""
    if job.logged and len(matrix):
        frame = RowsFrame(
            time=start,
            latency_seconds=(time.time() - start) / count,
            id_prefix=job.batch_id,
            numbers=numbers,
            matrix=matrix,
            labels=prediction.labels,
            scores=prediction.scores,
            values=prediction.values,
        ).to_bytes(model.signature, redact=job.redacted)
    return Part(answer=answer, frame=frame, **counts)  # type: ignore[arg-type]


def read(model: Model, job: Job, payload: bytes, first: int) -> Rows | None:
    """Return the rows of a part, or None past the end of a spooled table."""
    contract = contract_of(model)
    if job.path:
        found: Rows | None = resolve(ARROW, "read", place="Content-Type", extra="arrow")(
            job.path, job.given, contract, part=first
        )
        return found
    if job.given == "csv":
        return columns_of(contract, job.names).read(payload, first=first)
    records = JsonRecords(contract)
    if job.given == "lines":
        return records.lines(payload, first=first)
    return records.whole(payload, first=first)


def form_of(model: Model, job: Job) -> Any:
    """Return what writes the answer; raises MissingExtraError."""
    kind = FORMS.get(job.wanted)
    if kind is None:
        kind = resolve(ARROW, "form", place="Accept", extra="arrow")
    return kind(model.signature, batch_id=job.batch_id, reporting=job.reporting)


def contract_of(model: Model) -> Contract:
    """Return the contract of a model; it is made once for each."""
    found = CONTRACTS.get(id(model))
    if found is None or found[0] is not model:
        if len(CONTRACTS) >= MAX_MODELS:
            CONTRACTS.clear()
        found = CONTRACTS[id(model)] = (model, Contract(model.signature, model.encoder))
    return found[1]


CONTRACTS: dict[int, tuple[Model, Contract]] = {}


@lru_cache(maxsize=MAX_MODELS)
def columns_of(contract: Contract, names: tuple[str, ...]) -> CsvColumns:
    """Return what reads the chunks of a CSV; it is made once for all of them."""
    return CsvColumns(contract, names)


def located(problem: Problem, *, number: int, job: Job) -> Problem:
    """Return a problem with the row in its place: `line 3: Soil` of text, `3.Soil` of a table."""
    field = "" if problem.place == BODY else problem.place
    if job.given in ("csv", "lines"):
        place = f"line {number}: {field}" if field else f"line {number}"
    else:
        place = f"{number}.{field}" if field else f"{number}"
    return Problem(place, problem.message, problem.value, problem.admitted)


def reason(problem: Problem) -> str:
    """Return a problem as the row itself tells it."""
    named = problem.place not in ("", BODY)
    return f"{problem.place}: {problem.message}" if named else problem.message
