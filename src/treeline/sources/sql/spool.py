"""Batches → a file on disk, whole or not at all → tables of a fixed number of rows.

Rows wait on disk, not in memory, until all are here: a connection that breaks half-way leaves
nothing behind, and the tables do not depend on how the rows came.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, ipc

from treeline.errors import SourceError

TABLE_ROWS = 100_000


def write(path: Path, batches: Iterable[pa.RecordBatch]) -> tuple[pa.Schema, int]:
    """Write batches of one schema, at least one; return the schema and the number of rows."""
    rows, writer = 0, None
    options = ipc.IpcWriteOptions(compression="lz4")
    try:
        for batch in batches:
            writer = writer or ipc.new_stream(path, batch.schema, options=options)
            writer.write_batch(batch)
            rows += batch.num_rows
            schema = batch.schema
    finally:
        if writer is not None:
            writer.close()
    return schema, rows


def read(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of such a file."""
    with ipc.open_stream(path) as reader:
        yield from reader


def tables(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the same rows as tables of TABLE_ROWS rows, the last one shorter, at least one."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        rest = batch
        while count + rest.num_rows >= TABLE_ROWS:
            part = rest.slice(0, TABLE_ROWS - count)
            yield _table([*waiting, part], schema)
            rest, waiting, count = rest.slice(part.num_rows), [], 0
        waiting.append(rest)
        count += rest.num_rows
    yield _table(waiting, schema)


def distinct(
    batches: Iterable[pa.RecordBatch], order: tuple[str, ...], *, place: str
) -> Iterator[pa.RecordBatch]:
    """Pass batches on; raises SourceError where two different rows share their place in `order`."""
    last: pa.RecordBatch | None = None
    for batch in batches:
        if batch.num_rows:
            joined = [batch] if last is None else [last, batch]
            _tell_apart(pa.Table.from_batches(joined).combine_chunks(), order, place=place)
            last = batch.slice(batch.num_rows - 1)
        yield batch


def _tell_apart(rows: pa.Table, order: tuple[str, ...], *, place: str) -> None:
    tied = None
    for name in order:
        column = rows[name].combine_chunks()
        before, after = column[:-1], column[1:]
        nulls = compute.and_(compute.is_null(before), compute.is_null(after))
        same = compute.or_(compute.fill_null(compute.equal(before, after), False), nulls)
        tied = same if tied is None else compute.and_(tied, same)
    places = compute.indices_nonzero(tied)
    if not rows.take(places).equals(rows.take(compute.add(places, 1))):
        values = rows.select(list(order)).take(places[:1]).to_pylist()[0]
        raise SourceError(
            f"{place}: two rows have {values}, so their order is left to chance; add columns to "
            "`order_by` that tell them apart"
        )


def _table(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    plain = schema.remove_metadata()
    joined = pa.Table.from_batches([batch.cast(plain) for batch in batches], plain)
    return joined.combine_chunks().replace_schema_metadata(schema.metadata)
