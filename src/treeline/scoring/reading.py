"""Columns of Arrow → the float32 codes that a model sees, and what is wrong with which row. Pure.

The same translation as `treeline.artifact.encoding` makes of records, for whole columns, and the
same checks as the service makes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from treeline.artifact.encoding import Matrix, codes, missing_code
from treeline.artifact.features import FLOAT32_MAX, Feature
from treeline.errors import DataError

WANTED = {
    "category": "text",
    "boolean": "booleans",
    "integer": "numbers",
    "number": "numbers",
}


def check_columns(
    schema: pa.Schema, features: Mapping[str, Feature], *, keep: tuple[str, ...]
) -> None:
    """Raise DataError unless a schema has every column needed, in a type that can hold it.

    Features that may be missing may be left out; columns that nobody asked for are let be.
    """
    there = set(schema.names)
    needed = [name for name, feature in features.items() if not feature.optional]
    if lost := [name for name in dict.fromkeys([*needed, *keep]) if name not in there]:
        raise DataError(
            f"the rows have no column {', '.join(map(repr, lost))}; they have "
            f"{', '.join(map(repr, schema.names))}: correct them, or what is kept of them"
        )
    for name, feature in features.items():
        if name in there and not _fits(kind := schema.field(name).type, feature):
            raise DataError(f"column {name!r} holds {kind}; the model needs {WANTED[feature.type]}")


def read(
    batch: pa.RecordBatch, features: Mapping[str, Feature]
) -> tuple[Matrix, dict[int, list[str]]]:
    """Return the codes of a batch, (n_rows, n_features), and the reasons against each bad row.

    A bad value is encoded as a missing one.
    """
    matrix = np.empty((batch.num_rows, len(features)), dtype=np.float32)
    reasons: dict[int, list[str]] = {}
    there = set(batch.schema.names)
    for place, (name, feature) in enumerate(features.items()):
        if name not in there:
            matrix[:, place] = missing_code(feature)
            continue
        column = batch.column(name)
        values, missing = _coded(column, feature)
        bad = ~missing & ~_admitted(values, feature)
        values[missing | bad] = missing_code(feature)
        matrix[:, place] = values
        refused = bad if feature.optional else bad | missing
        for row in np.flatnonzero(refused).tolist():
            found = "missing" if missing[row] else f"{column[row].as_py()!r} is not admitted"
            reasons.setdefault(row, []).append(f"{name}: {found}; needed is {feature.describe()}")
    return matrix, reasons


def _fits(kind: pa.DataType, feature: Feature) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(inner):
        return True
    if feature.type == "category":
        return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))
    if feature.type == "boolean":
        return bool(pa.types.is_boolean(inner))
    return any(
        is_number(inner)
        for is_number in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    )


def _coded(column: pa.Array, feature: Feature) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the codes of a column, -1 for what is no category, and where a value is missing."""
    missing = np.asarray(pc.is_null(column, nan_is_null=True))
    if pa.types.is_null(column.type):
        return np.zeros(len(column)), missing
    if feature.type == "category":
        return _category_codes(column, feature), missing
    numbers = pc.fill_null(column, False) if feature.type == "boolean" else pc.fill_null(column, 0)
    return np.array(numbers.cast(pa.float64(), safe=False)), missing


def _category_codes(column: pa.Array, feature: Feature) -> NDArray[np.float64]:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    known = codes(feature)
    table = np.array([known.get(text, -1.0) for text in column.dictionary.to_pylist()] + [-1.0])
    places = np.asarray(pc.fill_null(column.indices.cast(pa.int64()), len(table) - 1))
    found: NDArray[np.float64] = table[places]
    return found


def _admitted(values: NDArray[np.float64], feature: Feature) -> Any:
    if feature.type == "category":
        return values >= 0
    if feature.type == "boolean":
        return np.ones(len(values), dtype=np.bool_)
    low = -FLOAT32_MAX if feature.minimum is None else feature.minimum
    high = FLOAT32_MAX if feature.maximum is None else feature.maximum
    within = (values >= low) & (values <= high)
    return within & (np.mod(values, 1) == 0) if feature.type == "integer" else within
