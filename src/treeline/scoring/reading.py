"""Rows of Arrow or of a CSV → the float32 codes that a model sees, and what is wrong with them."""

from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from treeline.artifact.store import Model
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
    said = [feature.kind.parsed(text) for text in by_text.dictionary.to_pylist()]
    table = np.array([*(np.nan if isinstance(value, str) else float(value) for value in said), 0.0])
    places = np.asarray(pc.fill_null(by_text.indices.cast(pa.int64()), -1))
    return Column(feature.kind.holds, missing, lambda row: said[places[row]], numbers=table[places])


CSV = ".csv"
BLOCK_BYTES = 8 << 20


def csv_rows(file: Path, model: Model, keep: tuple[str, ...]) -> Generator[pa.RecordBatch]:
    """Yield the columns needed, after an empty batch of them; raises DataError.

    Fields are text, so that one that is no number is a bad row and not the end of all; what is
    empty or a word of the signature for a missing value is null.
    """
    signature = model.signature
    layout = csv.ParseOptions(newlines_in_values=True)
    names = _header(file)
    try:
        check_names(names, signature.features, keep=keep)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    wanted = {*signature.features, *keep}
    schema = pa.schema([(name, pa.string()) for name in names if name in wanted])
    yield pa.RecordBatch.from_pylist([], schema)
    options = csv.ConvertOptions(
        include_columns=schema.names,
        column_types=schema,
        null_values=["", *signature.missing],
        strings_can_be_null=True,
    )
    blocks = csv.ReadOptions(block_size=BLOCK_BYTES)
    with csv.open_csv(
        file, read_options=blocks, parse_options=layout, convert_options=options
    ) as reader:
        yield from reader


def _header(file: Path) -> list[str]:
    layout = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(file, parse_options=layout) as reader:
        names: list[str] = reader.schema.names
        return names
