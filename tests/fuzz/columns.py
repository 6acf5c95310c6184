"""Well-formed tables, and their bytes as Arrow streams and Parquet files."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.records import SMALL, TREE


def table(rows: int, **columns: Any) -> pa.Table:
    """Return a table of TREE with other columns in the place of its own."""
    every = {name: pa.array([value] * rows) for name, value in TREE.items()}
    return pa.table({**every, **columns})


def stream(rows: pa.Table, compression: str | None = None, chunk: int | None = None) -> bytes:
    """Return a table as a stream of record batches."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_table(rows, max_chunksize=chunk)
    return sink.getvalue()


def parquet(rows: pa.Table, **options: Any) -> bytes:
    """Return a table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def small(rows: int = 4) -> pa.Table:
    """Return a table of two numbers."""
    return pa.table({name: pa.array([value] * rows) for name, value in SMALL.items()})
