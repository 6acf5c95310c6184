"""A part of a body → codes of its good rows, and what is wrong with the bad ones."""

import time
from functools import lru_cache
from itertools import islice

import numpy as np
from pydantic_core import to_json

from api.batch import tables
from api.batch.csv_columns import CsvColumns
from api.batch.jobs import SPOOLED, EncodedPart, Job, Part, Payload
from api.batch.json_records import JsonRecords
from api.batch.rows import Contract, Rows
from api.batch.tables import Table
from api.contract.faults import Fault
from api.contract.validation import BODY, MAX_PROBLEMS
from treeline.errors import Problem
from treeline.registry import resolve

READERS = {"rows": "api.batch.arrow:rows", "inspect": "api.batch.arrow:inspect"}
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
    found = rows.good_keys()
    keys = b"" if found is None else to_json(found)
    return EncodedPart(counts, matrix, rows.numbers, bad, reasons, started, keys)


def read(contract: Contract, job: Job, payload: Payload, first: int) -> Rows | None:
    """Return the rows of a part, or None past the end of a table that is read in parts."""
    most = MOST_REPORTED if job.reporting else MAX_PROBLEMS
    if job.given in SPOOLED:
        rows = resolve(READERS, "rows", place="Content-Type", extra="arrow")
        table = table_of(job, payload)
        return tables.read(job.path, first, lambda: rows(table, contract, most_explained=most))
    if job.given == "csv":
        columns = columns_of(contract, job.names)
        return columns.read(bytes(payload), first=first, most_explained=most)
    records = JsonRecords(contract, most_explained=most, extra=job.extra)
    if job.given == "lines":
        return records.lines(bytes(payload), first=first)
    if job.path:
        most = job.memory_bytes
        return tables.read(
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
