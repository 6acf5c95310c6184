"""One tensor per feature → columns held against the contract, and the codes of their rows.

A problem names the row and the feature: `row 3: Light_ISF`.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from api.contract.validation import MAX_PROBLEMS
from api.protocol.tensors import BOOL, BYTES, Tensor
from treeline.contract.admission import admit, matched, value_at
from treeline.contract.encoding import Matrix, Record
from treeline.contract.features import Feature
from treeline.contract.kinds import Column, Holds
from treeline.contract.problems import listed
from treeline.errors import InvalidInputError, Problem

ROUNDED = frozenset({"FP16", "FP32"})


def columns_of(
    features: Mapping[str, Feature], inputs: Mapping[str, Tensor]
) -> tuple[int, dict[str, Column]]:
    """Return the number of rows and the column of each feature that is sent.

    Raises InvalidInputError when one is missing, unknown, of another datatype or another length.
    """
    known = listed(features)
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
        told = listed([f"{name} {length}" for name, length in lengths.items()])
        problems.append(Problem("inputs", f"differ in their number of rows: {told}"))
    if problems:
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    columns = {name: column_of(inputs[name], features[name]) for name in lengths}
    return next(iter(lengths.values())), columns


def admitted(columns: Mapping[str, Column], features: Mapping[str, Feature], count: int) -> Matrix:
    """Return the codes of all rows; raises InvalidInputError with what is wrong with the first."""
    admission = admit(columns, features, n_rows=count)
    problems: list[Problem] = []
    for row in np.flatnonzero(admission.counts()).tolist():
        problems += [
            Problem(f"row {row + 1}: {each.place}", each.message, each.value, each.admitted)
            for each in admission.problems(row)
        ]
        if len(problems) >= MAX_PROBLEMS:
            more = Problem("inputs", "and there may be more problems")
            raise InvalidInputError([*problems[:MAX_PROBLEMS], more])
    if problems:
        raise InvalidInputError(problems)
    return admission.matrix


def records_of(columns: Mapping[str, Column], count: int) -> list[Record]:
    """Return the records that the rows are, None for what is missing; few rows, for the log."""
    return [
        {name: value_at(column, row) for name, column in columns.items()} for row in range(count)
    ]


def column_of(tensor: Tensor, feature: Feature) -> Column:
    """Return the values of one feature; NaN is missing, as the protocol knows no null."""
    array = _within(tensor, feature).array.reshape(-1)
    missing = np.zeros(len(array), dtype=np.bool_)
    if array.dtype.kind == "f":
        missing = np.isnan(array)
    if tensor.missing is not None:
        missing = missing | tensor.missing.reshape(-1)
    if tensor.datatype == BYTES:
        texts, places = array.tolist(), np.arange(len(array))
        return Column(
            "text", missing, texts.__getitem__, match=lambda known: matched(texts, places, known)
        )
    holds: Holds = "boolean" if tensor.datatype == BOOL else "number"
    return Column(holds, missing, lambda row: array[row].item(), numbers=array.astype(np.float64))


def _misfits(tensor: Tensor, feature: Feature) -> list[Problem]:
    found, shape = [], tensor.array.shape
    if tensor.datatype not in feature.kind.datatypes:
        wanted = f"give {feature.describe()}, as {feature.kind.datatype}"
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
    return replace(tensor, array=array)
