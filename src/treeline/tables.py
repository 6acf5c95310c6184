"""Tables and frames ↔ Parquet files; written whole or not at all."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from treeline.errors import DataError
from treeline.files import replacing

if TYPE_CHECKING:  # it takes a second to import, which what handles tables alone does not need
    import pandas as pd

COMPRESSION = "zstd"


def write_tables(target: Path, tables: Iterable[pa.Table]) -> int:
    """Stream tables of one schema into a Parquet file; return the number of rows."""
    rows = 0
    with replacing(target) as draft:
        writer: parquet.ParquetWriter | None = None
        try:
            for table in tables:
                writer = writer or parquet.ParquetWriter(
                    draft, table.schema, compression=COMPRESSION
                )
                writer.write_table(table)
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows


def write_frame(target: Path, frame: "pd.DataFrame") -> None:
    """Write a frame, without its index, to a Parquet file."""
    write_tables(target, [pa.Table.from_pandas(frame, preserve_index=False)])


def read_frame(path: Path) -> "pd.DataFrame":
    """Read a Parquet file as a frame; two columns of one name are for the caller to refuse."""
    with parquet.ParquetFile(path) as file:
        frame: pd.DataFrame = file.read().to_pandas()
    return frame


def table_of(frame: "pd.DataFrame") -> pa.Table:
    """Return the columns of a frame as Arrow, categories as what they stand for.

    `frame` has shape (n_rows, n_columns). Raises DataError where a column holds values of several
    types, or two have one name.
    """
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"the frame cannot be read: {error}") from error
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table.column(place).cast(field.type.value_type)
            table = table.set_column(place, field.name, plain)
    return table
