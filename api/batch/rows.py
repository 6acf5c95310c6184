"""Rows of a batch between its reader and its writer: codes for the model, or what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from api.contract.schemas import limits, record_validator
from api.contract.validation import explain
from treeline.artifact.encoding import Encoder, Matrix
from treeline.artifact.features import Feature, Value
from treeline.artifact.signature import Signature
from treeline.errors import InvalidInputError, Problem, TreelineError

Bad = dict[int, list[Problem]]


@dataclass(frozen=True)
class Rows:
    """Codes of n_rows rows, float32 of shape (n_rows, n_features), and the rows that are bad.

    `numbers` of shape (n_rows,) are what people count the rows by; `bad` lists, by position, what
    is wrong with a row, whose codes mean nothing.
    """

    matrix: Matrix
    numbers: NDArray[np.int64]
    bad: Bad = field(default_factory=dict)


class Contract:
    """What records of one model are held against, and how they are encoded."""

    def __init__(self, signature: Signature, encoder: Encoder) -> None:
        self.features: Mapping[str, Feature] = signature.features
        self.validator: TypeAdapter[dict[str, Value | None]] = record_validator(signature)
        self.list_validator = SchemaValidator(core_schema.list_schema(self.validator.core_schema))
        self.encoder = encoder

    def codes(self, record: object) -> list[float]:
        """Return the codes of a record; raises InvalidInputError."""
        try:
            return self.encoder.row(self.validator.validate_python(record))
        except ValidationError as error:
            raise explain(error, self.features) from error

    def rows(self, records: Sequence[Callable[[], list[float]]], numbers: Sequence[int]) -> Rows:
        """Return rows whose codes are had by calls, which may raise InvalidInputError."""
        matrix = np.full((len(records), len(self.features)), np.nan, dtype=np.float32)
        bad: Bad = {}
        for place, codes in enumerate(records):
            try:
                matrix[place] = codes()
            except InvalidInputError as error:
                bad[place] = error.problems
            except TreelineError as error:
                bad[place] = [Problem("", str(error))]
        return Rows(matrix, np.array(numbers, dtype=np.int64), bad)


def check_header(names: Sequence[str], features: Mapping[str, Feature], *, place: str) -> None:
    """Check the columns of a table; raises InvalidInputError naming all that are wrong."""
    known = ", ".join(features)
    problems = [
        Problem(f"{place}{name}", f"is not a feature of this model; its features are: {known}")
        for name in dict.fromkeys(names)
        if name not in features
    ]
    problems += [
        Problem(f"{place}{name}", "is the name of two columns; leave one out")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    problems += [
        Problem(f"{place}{name}", f"is a missing column; give {feature.describe()}")
        for name, feature in features.items()
        if name not in names and not feature.optional
    ]
    if problems:
        raise InvalidInputError(problems)


def within(values: NDArray[Any], feature: Feature) -> NDArray[np.bool_]:
    """Tell which numbers a feature admits."""
    lowest, highest = limits(feature)
    inside: NDArray[np.bool_] = (values >= lowest) & (values <= highest)
    if feature.type == "integer":
        inside &= values == np.trunc(values)
    return inside
