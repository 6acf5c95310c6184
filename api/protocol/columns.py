"""One tensor per feature → records checked against the contract, with the words of the one route.

A problem names the row and the feature: `3.Light_ISF`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from api.contract.validation import MAX_PROBLEMS, problem_of
from api.protocol.tensors import BOOL, BYTES, NUMBERS, Tensor
from treeline.artifact.encoding import Record
from treeline.artifact.features import Feature
from treeline.errors import InvalidInputError, Problem

PART_ROWS = 4096  # are Python objects at a time
ADMITTED = {"number": tuple(NUMBERS), "integer": tuple(NUMBERS), "boolean": (BOOL,)}
USUAL = {"number": "FP64", "integer": "INT64", "boolean": BOOL, "category": BYTES}
ROUNDED = frozenset({"FP16", "FP32"})

Validate = Callable[[object], Record]


@dataclass(frozen=True)
class Column:
    """The values of one feature, one per row."""

    tensor: Tensor

    def values(self, rows: slice) -> list[Any]:
        """Return the values of some rows, None where one is null or NaN."""
        array = self.tensor.array.reshape(-1)[rows]
        found: list[Any] = array.tolist()
        missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=bool)
        if self.tensor.missing is not None:
            missing |= self.tensor.missing.reshape(-1)[rows]
        for row in np.flatnonzero(missing).tolist():
            found[row] = None
        return found


def columns_of(
    features: Mapping[str, Feature], inputs: Mapping[str, Tensor]
) -> tuple[int, dict[str, Column]]:
    """Return the number of rows and the column of each feature that is sent.

    Raises InvalidInputError when one is missing, unknown, of another datatype or another length.
    """
    known = ", ".join(features)
    problems = [
        Problem(name, f"is not a feature of this model; its features are: {known}")
        for name in inputs
        if name not in features
    ]
    lengths: dict[str, int] = {}
    for name, feature in features.items():
        if name in inputs:
            problems += _misfits(inputs[name], feature)
            lengths[name] = inputs[name].array.size
        elif not feature.optional:
            problems.append(Problem(name, f"is missing; give {feature.describe()}"))
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        problems.append(Problem("inputs", f"differ in their number of rows: {told}"))
    if problems:
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    columns = {name: Column(_within(inputs[name], features[name])) for name in lengths}
    return next(iter(lengths.values())), columns


def checked(
    columns: Mapping[str, Column], count: int, validate: Validate, features: Mapping[str, Feature]
) -> Iterator[list[Record]]:
    """Yield the records of all rows, in parts; raises InvalidInputError with what is wrong."""
    for start in range(0, count, PART_ROWS):
        lists = (column.values(slice(start, start + PART_ROWS)) for column in columns.values())
        records = [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
        try:
            yield [validate(record) for record in records]
        except ValidationError:
            raise InvalidInputError(_problems(records, start, validate, features)) from None


def _problems(
    records: list[dict[str, Any]], start: int, validate: Validate, features: Mapping[str, Feature]
) -> list[Problem]:
    problems: list[Problem] = []
    for row, record in enumerate(records, start):
        try:
            validate(record)
        except ValidationError as error:
            for entry in error.errors(include_url=False, include_context=False):
                found = problem_of(entry, features)
                place = f"{row}.{found.place}"
                problems.append(Problem(place, found.message, found.value, found.admitted))
        if len(problems) >= MAX_PROBLEMS:
            return [*problems[:MAX_PROBLEMS], Problem("inputs", "and there may be more problems")]
    return problems


def _misfits(tensor: Tensor, feature: Feature) -> list[Problem]:
    found, shape = [], tensor.array.shape
    admitted = ADMITTED.get(feature.type, (BYTES,))
    if tensor.datatype not in admitted:
        wanted = f"give {feature.describe()}, as {USUAL[feature.type]}"
        found.append(Problem(tensor.name, f"is {tensor.datatype}; {wanted}"))
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        wanted = "one value for each row: shape [n] or [n, 1]"
        found.append(Problem(tensor.name, f"has the shape {list(shape)}; give {wanted}"))
    return found


def _within(tensor: Tensor, feature: Feature) -> Tensor:
    """Return a tensor whose values that stand on a bound do so still.

    The nearest FP32 to a bound such as 0.1 may lie beyond it.
    """
    if tensor.datatype not in ROUNDED:
        return tensor
    array = tensor.array.astype(np.float64)
    for bound in (feature.minimum, feature.maximum):
        with np.errstate(over="ignore"):
            rounded = tensor.array.dtype.type(np.nan if bound is None else bound)
        if np.isfinite(rounded):
            array[tensor.array == rounded] = bound
    return Tensor(tensor.name, tensor.datatype, array, tensor.missing)
