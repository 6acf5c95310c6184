"""Rows of a batch between reader and writer, and what a worker and its processes exchange.

A row is codes for the model, or what is wrong with it. A table that is read part by part remembers
how far it has been read: parts are mostly wanted in their order, and are then read on from where
the last one ended.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from weakref import finalize

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from api.contract.faults import BODY, MAX_PROBLEMS, Fault, Faults, explain, problem_of, short
from api.contract.schemas import EXTRA_COLUMNS, LEAVE_OUT, ignored_of, record_validator
from api.formats.arrow_lengths import Source
from treeline.contract.encoding import Encoder, Matrix, Record
from treeline.contract.features import Feature, Value
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem, ProblemsError, TreelineError
from treeline.signing.trust import TrustedModels

SPOOLED = frozenset({"arrow", "parquet"})
PART_ROWS = 65_536
EXPLAINED_ROWS = 32
PART_CELLS = 1 << 21  # of the rows of a part and of their answers
Payload = bytes | bytearray


@dataclass(frozen=True)
class Job:
    """What is the same for all parts of one batch.

    `names` are the columns of a CSV; `extra` says what becomes of columns that are no features.
    `path` is the file of a table that is read in parts, which is empty where the table is held in
    memory. A table may have `most_rows` rows, and take `memory_bytes` while it is read. `redacted`
    features reach no disk. An `exported` model is one of git's, which is below `model_dir`
    and which `trust` must admit, where there is one. `explaining` asks how answers come about.
    """

    model_dir: Path
    admitted: frozenset[str]
    name: str
    version: str
    batch_id: str
    given: str
    wanted: str
    most_rows: int
    memory_bytes: int
    part_rows: int = PART_ROWS
    names: tuple[str, ...] = ()
    path: str = ""
    extra: str = "auto"
    reporting: bool = False
    explaining: bool = False
    exported: bool = True
    logged: bool = False
    trust: TrustedModels | None = None
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
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodedPart:
    """The rows of a part on their way to a model: float32 codes of the good ones, n_good rows.

    `numbers` of shape (n_rows,) are what people count the rows by, `bad` of shape (n_bad,) the
    positions of bad ones, `reasons` a JSON list of what is wrong with each of these. `started` is
    when it was begun, in seconds since 1970. `keys` is a JSON list of the callers' own of the good
    rows, empty where the model takes none.
    """

    counts: Part
    matrix: Matrix
    numbers: NDArray[np.int64]
    bad: NDArray[np.int64]
    reasons: bytes
    started: float
    keys: bytes = b""


@dataclass(frozen=True)
class ModelAbsent:
    """The very model is not on disk, where a process beside the worker looks for it."""


def rows_of_part(signature: Signature, *, explaining: bool = False) -> int:
    """Return how many rows a part may have: fewer where features or classes are many.

    An explanation takes as long as hundreds of predictions, and others wait for the process.
    """
    width = len(signature.features) + len(signature.classes) + 1
    return max(1, min(EXPLAINED_ROWS if explaining else PART_ROWS, PART_CELLS // width))


KNOWN_BYTES = 2000  # of the names of features, where a message lists them
Read = Callable[[], Record]


@dataclass(frozen=True)
class Rows:
    """Codes of n_rows rows, float32 of shape (n_rows, n_features), and the rows that are bad.

    `numbers` of shape (n_rows,) are what people count the rows by; `bad` says, by position, what is
    wrong with a row, whose codes mean nothing. `ignored` are columns that are no features, `keys`
    the callers' own of all rows, where the model takes one.
    """

    matrix: Matrix
    numbers: NDArray[np.int64]
    bad: dict[int, Fault] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    keys: Sequence[str | None] | None = None

    def good_keys(self) -> Sequence[str | None] | None:
        """Return the keys of the rows that are not bad."""
        if self.keys is None or not self.bad:
            return self.keys
        return [key for at, key in enumerate(self.keys) if at not in self.bad]

    def good(self) -> tuple[Matrix, NDArray[np.int64]]:
        """Return codes and numbers of the rows that are not bad."""
        if not self.bad:
            return self.matrix, self.numbers
        good = np.ones(len(self.numbers), dtype=np.bool_)
        good[list(self.bad)] = False
        return self.matrix[good], self.numbers[good]


class Contract:
    """What records of one model are held against, and how they are encoded."""

    def __init__(self, signature: Signature, encoder: Encoder) -> None:
        self.signature = signature
        self.features: Mapping[str, Feature] = signature.features
        self.validator: TypeAdapter[dict[str, Value | None]] = record_validator(signature)
        # It ends at the first bad record: to collect what is wrong takes a thousand times the body.
        self.list_validator = SchemaValidator(
            core_schema.list_schema(self.validator.core_schema, fail_fast=True)
        )
        self.encoder = encoder
        self.missing = frozenset(signature.missing)
        self.key = signature.key
        self.names = frozenset(signature.record_names)

    def codes(self, record: object) -> list[float]:
        """Return the codes of a record; raises InvalidInputError."""
        try:
            return self.encoder.row(self.validator.validate_python(record))
        except ValidationError as error:
            raise self._refusal(error) from error

    def rows(self, records: Iterable[tuple[int, Read]], *, most_explained: int) -> Rows:
        """Return rows of numbered records, each had by a call that may raise InvalidInputError.

        What is wrong is said of so many of them, and counted for all.
        """
        matrix: list[list[float]] = []
        numbers: list[int] = []
        keys: list[str | None] = []
        faults = Faults(most_explained)
        nothing = [np.nan] * len(self.features)
        for place, (number, read) in enumerate(records):
            numbers.append(number)
            record = self._taken(place, read, faults)
            matrix.append(nothing if record is None else self.encoder.row(record))
            keys.append(None if record is None else self.key_of(record))
        shape = (len(matrix), len(self.features))
        codes = np.array(matrix, dtype=np.float32).reshape(shape)
        own = None if self.key is None else keys
        return Rows(codes, np.array(numbers, dtype=np.int64), faults.by_row, keys=own)

    def key_of(self, record: Record) -> str | None:
        """Return the caller's own key of a checked record."""
        key = None if self.key is None else record.get(self.key)
        return None if key is None else str(key)

    def keys_of(self, records: Sequence[Record]) -> list[str | None] | None:
        """Return the keys of checked records, None where the model takes none."""
        return None if self.key is None else [self.key_of(record) for record in records]

    def _refusal(self, error: ValidationError) -> TreelineError:
        """Return the error to raise for what is no record of these features."""
        return explain(error, partial(problem_of, features=self.features))

    def _taken(self, place: int, read: Read, faults: Faults) -> Record | None:
        """Return a checked record, or None where it is bad."""
        try:
            return read()
        except ValidationError as error:
            count = error.error_count()
            if not faults.explaining:
                faults.count(place, count)
            elif count > len(self.features) + MAX_PROBLEMS:  # to list them all takes a second
                text = f"has {count} problems: most of its keys are no features of this model"
                faults.explain(place, [Problem(BODY, text)])
            else:
                faults.explain(
                    place, problems_of(explain(error, partial(problem_of, features=self.features)))
                )
        except InvalidInputError as error:
            if faults.explaining:
                faults.explain(place, error.problems)
            else:
                faults.count(place, len(error.problems))
        return None


def problems_of(error: TreelineError) -> list[Problem]:
    """Return the problems that an error lists, or the one that it is."""
    return error.problems if isinstance(error, ProblemsError) else [Problem("", str(error))]


def most_columns(features: Mapping[str, Feature]) -> int:
    """Return how many columns a table may have: one for each feature, and some that are wrong."""
    return len(features) + EXTRA_COLUMNS


def check_columns(count: int, features: Mapping[str, Feature], *, place: str) -> None:
    """Check the number of columns, before any is looked at; raises InvalidInputError."""
    if count > (most := most_columns(features)):
        text = f"has {count} columns, and the model has {len(features)} features; leave out columns"
        raise InvalidInputError([Problem(place, f"{text} until there are at most {most}")])


def check_header(
    names: Sequence[str], signature: Signature, *, place: str, extra: str
) -> tuple[str, ...]:
    """Check the columns of a table, and return those to ignore.

    Raises InvalidInputError naming all that are wrong.
    """
    features = signature.features
    check_columns(len(names), features, place=place.rstrip(": ") or "body")
    ignored = ignored_of(names, signature, extra=extra)
    counts, known = Counter(names), ", ".join(features)
    known_names = frozenset(signature.record_names)
    for name in ignored:
        del counts[name]
    if len(known) > KNOWN_BYTES:
        known = known[:KNOWN_BYTES] + "…"
    problems = [
        Problem(
            f"{place}{name}",
            f"is not a feature of this model; its features are: {known}. {LEAVE_OUT}",
        )
        for name in islice((each for each in counts if each not in known_names), MAX_PROBLEMS)
    ]
    problems += [
        Problem(f"{place}{name}", "is the name of two columns; leave one out")
        for name, count in counts.items()
        if count > 1
    ]
    missing = [name for name in features if name not in counts and not features[name].optional]
    problems += [
        Problem(f"{place}{name}", f"is a missing column; give {features[name].describe()}")
        for name in missing[:MAX_PROBLEMS]
    ]
    if len(missing) > MAX_PROBLEMS:
        problems.append(Problem(BODY, f"and {len(missing) - MAX_PROBLEMS} more missing columns"))
    if problems:
        raise InvalidInputError([short(problem) for problem in problems])
    return ignored


MOST_OPEN = 8  # at once in one process; what is read of one more begins anew


@dataclass(frozen=True)
class Table:
    """A body that is read in parts, and what reading it may take.

    It is in `payload`, or else in the file at `path`; as long as there is that file, somebody waits
    for the rows. Parts have at most `part_rows` rows, the whole table `most_rows`.
    """

    kind: str
    path: str
    payload: Payload
    part_rows: int
    most_rows: int
    memory_bytes: int

    def source(self) -> Source:
        """Return the bytes."""
        return InMemory(self.payload) if self.payload else InFile(self.path)


class InMemory:
    """A body in memory."""

    def __init__(self, payload: Payload) -> None:
        self._payload, self.size = payload, len(payload)

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end."""
        return bytes(self._payload[place : place + length])


class InFile:
    """A body in a file."""

    def __init__(self, path: str) -> None:
        """Open a file; raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end."""
        return os.pread(self._descriptor, length, place)


class Reading:
    """Rows of one table, and how many parts have been read."""

    def __init__(self, parts: Iterator[Rows]) -> None:
        self._parts, self.done = parts, 0

    def part(self, number: int) -> Rows | None:
        """Return the rows of a part, None past the end."""
        while self.done < number:
            next(self._parts, None)
            self.done += 1
        self.done += 1
        return next(self._parts, None)


READINGS: dict[str, Reading] = {}


def read_part(path: str, number: int, parts: Callable[[], Iterator[Rows]]) -> Rows | None:
    """Return the rows of one part of a table, None past its end; raises what reading it raises."""
    for other in [each for each in READINGS if not Path(each).exists()]:
        del READINGS[other]
    reading = READINGS.pop(path, None)
    if reading is None or reading.done > number:
        reading = Reading(parts())
    try:
        rows = reading.part(number)
    except MemoryError:
        if not READINGS:
            raise
        READINGS.clear()  # what others hold here is read again
        reading = Reading(parts())
        rows = reading.part(number)
    if rows is not None:
        while len(READINGS) >= MOST_OPEN:
            READINGS.pop(next(iter(READINGS)))
        READINGS[path] = reading
    return rows
