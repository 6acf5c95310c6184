"""Rows of Arrow → the float32 codes that a model sees, and what is wrong with which row. Pure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from treeline.contract.admission import admit, value_at
from treeline.contract.arrow import column_of, holds, misfit
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature
from treeline.contract.kinds import Column
from treeline.contract.problems import value_problem
from treeline.errors import DataError

MOST_WORDS = 4096  # bad values whose words are kept: a wrong code stands in many rows


def check_columns(
    schema: pa.Schema, features: Mapping[str, Feature], *, keep: tuple[str, ...]
) -> None:
    """Raise DataError unless a schema has every column needed, in a type that can hold it.

    Features that may be missing may be left out; columns that nobody asked for are let be.
    """
    check_names(schema.names, features, keep=keep)
    there = set(schema.names)
    for name, feature in features.items():
        if name in there and (wrong := misfit(schema.field(name).type, feature)):
            raise DataError(f"column {name!r}: {wrong}")


def check_names(
    names: Sequence[str], features: Mapping[str, Feature], *, keep: tuple[str, ...]
) -> None:
    """Raise DataError unless every column that is needed is among these names, and once."""
    needed = [name for name, feature in features.items() if not feature.optional]
    if lost := [name for name in dict.fromkeys([*needed, *keep]) if name not in names]:
        raise DataError(
            f"the rows have no column {', '.join(map(repr, lost))}; they have "
            f"{', '.join(map(repr, names))}: correct them, or what is kept of them"
        )
    if twice := [name for name in (*features, *keep) if list(names).count(name) > 1]:
        raise DataError(f"the rows have the column {twice[0]!r} twice; leave one out")


def read(
    batch: pa.RecordBatch, features: Mapping[str, Feature]
) -> tuple[Matrix, dict[int, list[str]]]:
    """Return the codes of a batch, (n_rows, n_features), and the reasons against each bad row.

    A bad value is encoded as a missing one.
    """
    there = set(batch.schema.names)
    columns = {
        name: _column(batch.column(name), feature)
        for name, feature in features.items()
        if name in there
    }
    admission = admit(columns, features, n_rows=batch.num_rows)

    @lru_cache(MOST_WORDS, typed=True)
    def reason(name: str, value: object) -> str:
        return f"{name}: {value_problem(name, features[name], value).message}"

    reasons: dict[int, list[str]] = {}
    for name, refused in admission.refused.items():
        for row in np.flatnonzero(refused).tolist():
            reasons.setdefault(row, []).append(reason(name, value_at(columns[name], row)))
    return admission.matrix, reasons


def _column(array: pa.Array, feature: Feature) -> Column:
    """Return a column; where it holds texts and the feature does not, these are fields of a CSV."""
    if holds(array.type) == "text" and feature.kind.holds != "text":
        return _from_fields(array, feature)
    return column_of(array)


def _from_fields(array: pa.Array, feature: Feature) -> Column:
    """Return what the fields of a CSV say, NaN for what says no value of the feature's type."""
    missing = np.asarray(array.is_null())
    by_text = array.dictionary_encode()
    said = [feature.kind.said(text) for text in by_text.dictionary.to_pylist()]
    table = np.array([*(np.nan if isinstance(value, str) else float(value) for value in said), 0.0])
    places = np.asarray(pc.fill_null(by_text.indices.cast(pa.int64()), -1))
    return Column(feature.kind.holds, missing, lambda row: said[places[row]], numbers=table[places])
