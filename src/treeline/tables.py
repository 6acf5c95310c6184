"""Tables → Parquet files; written whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from treeline.files import replacing

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
