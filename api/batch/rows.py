"""Rows of a batch between its reader and its writer: codes for the model, or what is wrong."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from api.contract.extras import EXTRA_COLUMNS, LEAVE_OUT, ignored_of
from api.contract.faults import Fault, Faults, short
from api.contract.schemas import record_validator
from api.contract.validation import BODY, MAX_PROBLEMS, explain
from treeline.contract.encoding import Encoder, Matrix, Record
from treeline.contract.features import Feature, Value
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem, ProblemsError, TreelineError

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
            raise explain(error, self.features) from error

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
        found = np.array(matrix, dtype=np.float32).reshape(shape)
        own = None if self.key is None else keys
        return Rows(found, np.array(numbers, dtype=np.int64), faults.found, keys=own)

    def key_of(self, record: Record) -> str | None:
        """Return the caller's own key of a checked record."""
        key = None if self.key is None else record.get(self.key)
        return None if key is None else str(key)

    def keys_of(self, records: Sequence[Record]) -> list[str | None] | None:
        """Return the keys of checked records, None where the model takes none."""
        return None if self.key is None else [self.key_of(record) for record in records]

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
                faults.explain(place, problems_of(explain(error, self.features)))
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
