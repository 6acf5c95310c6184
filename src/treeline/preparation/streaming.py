"""What a worker of Spark does for a task of preparation: its batches, one after another, checked.

Rows are selected, typed and checked by the code that does it for a whole frame; none is left out
that `where` admits. A row keeps its number, counted from 0, and has the hash that decides its side.
A batch with faults comes out as one row that tells of them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.casting import ClassKind, class_kind, texts
from treeline.preparation.checking import check
from treeline.preparation.hashing import row_hashes
from treeline.preparation.selecting import declared_columns, meets

ROW, FAULT, HASH = "_treeline_row", "_treeline_fault", "_treeline_hash"
SCAN_ROWS = 131_072
TYPES: dict[ClassKind, str] = {"number": "float64", "boolean": "bool", "text": "str"}


def typed_columns(raw: Path, spec: ModelSpec) -> pd.DataFrame:
    """Return the declared columns without rows, of the types that checked rows will have.

    Whether classes are numbers or names is seen in all of them; raises DataError.
    """
    empty = parquet.read_schema(raw).remove_metadata().empty_table().to_pandas()
    declared = declared_columns(empty, spec)
    name = spec.target.name
    if spec.source.untyped:
        declared = declared.astype({name: TYPES[_kind_of_classes(raw, spec)]})
    return check(declared, spec)


def _kind_of_classes(raw: Path, spec: ModelSpec) -> ClassKind:
    """Return what the classes of all rows that count are."""
    kinds: set[ClassKind] = set()
    with parquet.ParquetFile(raw) as file:
        for batch in file.iter_batches(SCAN_ROWS, columns=[spec.target.name, *spec.source.where]):
            column = _counted(batch.to_pandas(), spec)[spec.target.name].dropna()
            kinds |= {class_kind(column, untyped=True)} if len(column) else set()
    return kinds.pop() if len(kinds) == 1 else "text"


def _counted(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    for name, condition in spec.source.where.items():
        frame = frame[meets(frame[name], condition)]
    return frame


def columns(typed: pd.DataFrame) -> pa.Schema:
    """Return the schema of checked rows, for a frame of them that may be empty."""
    whole = pd.Series(dtype="int64")
    marked = typed.assign(**{ROW: whole, HASH: whole, FAULT: pd.Series(dtype="str")})
    return pa.Schema.from_pandas(marked, preserve_index=False).remove_metadata()


def checked(
    spec: ModelSpec, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each batch that `where` admits, typed; those without a target all empty."""
    for batch in batches:
        frame = _counted(batch.to_pandas().set_index(ROW), spec)
        if len(frame):
            yield from _told(frame, spec, schema)


def _told(frame: pd.DataFrame, spec: ModelSpec, schema: pa.Schema) -> list[pa.RecordBatch]:
    known = frame[frame[spec.target.name].notna()]
    try:
        typed = _typed(known, spec, schema) if len(known) else known[[]]
        marked = typed.reindex(frame.index).reset_index().assign(**{FAULT: None})
    except DataError as error:
        marked = pd.DataFrame({ROW: [frame.index[0]], FAULT: [str(error)]})
    table = pa.Table.from_pandas(marked.reindex(columns=schema.names), schema=schema)
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches


def _typed(known: pd.DataFrame, spec: ModelSpec, schema: pa.Schema) -> pd.DataFrame:
    """Return checked rows with their hashes, classes as names where those of other rows are."""
    typed = check(known, spec)
    found = row_hashes(typed, spec).view(np.int64)
    typed[HASH] = pd.Series(found, index=typed.index, dtype="Int64")
    name = spec.target.name
    names = spec.source.untyped and str(schema.field(name).type).endswith("string")
    return typed.assign(**{name: texts(known[name])}) if names else typed
