"""Rows with a watermark: those already here, if nothing changed among them, and those since.

A collection leaves a mark in the metadata of `raw.parquet`: the highest watermark, how many rows
there were up to it, and the sum of their hashes, as the database reckons them. The next one asks
for the same sum again. Where it differs (a row was changed, removed, or came late), everything is
collected anew; so the rows are always those that a full collection would have brought.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, ipc, parquet

from treeline.errors import SourceBusyError, SourceError
from treeline.sources.sql.database import Database
from treeline.sources.sql.statement import Statement

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
            _require_distinct(pa.Table.from_batches(joined).combine_chunks(), order, place=place)
            last = batch.slice(batch.num_rows - 1)
        yield batch


def _require_distinct(rows: pa.Table, order: tuple[str, ...], *, place: str) -> None:
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


KEY = b"treeline.collected"


@dataclass(frozen=True)
class Mark:
    """What was collected: by which SQL, up to which watermark, how many rows, their digest."""

    statement: str
    highest: str | None
    rows: int
    digest: int

    def metadata(self) -> dict[bytes, bytes]:
        """Return the mark as metadata of a schema."""
        return {KEY: json.dumps(asdict(self), sort_keys=True).encode()}


@dataclass(frozen=True)
class Span:
    """The rows still to be asked for, after those of `known`, and what there is to be then."""

    known: Mark | None
    mark: Mark

    @property
    def rows(self) -> int:
        """How many rows are to come."""
        return self.mark.rows - (self.known.rows if self.known else 0)

    def sql(self, statement: Statement) -> str:
        """Return the query for them."""
        after = self.known.highest if self.known else None
        return statement.rows(after=after, until=self.mark.highest)


def span_of(statement: Statement, database: Database, earlier: Path | None) -> Span:
    """Find out what is new since `earlier` was written; raises SourceError."""
    highest, without = database.row(statement.highest())
    if without:
        raise SourceError(
            f"{database.place}.watermark: {without} rows have no {statement.watermark!r}, so they "
            "would never be new; leave them out in a `query`, or leave out `watermark`"
        )
    known = _unchanged(_mark_of(earlier), statement, database)
    after = known.highest if known else None
    rows, digest = _rows_and_digest(statement.digest(after=after, until=highest), database)
    if known:
        rows, digest = known.rows + rows, known.digest + digest
    return Span(known, Mark(_name(statement), highest, rows, digest))


def check(span: Span, statement: Statement, database: Database, *, rows: int) -> None:
    """Raise SourceBusyError if the table changed while its rows came."""
    now = _rows_and_digest(statement.digest(until=span.mark.highest), database)
    if rows != span.rows or now != (span.mark.rows, span.mark.digest):
        raise SourceBusyError(f"{database.place}: the rows changed while they were collected")


def rows_of(earlier: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows that were collected before."""
    with parquet.ParquetFile(earlier) as file:
        yield from file.iter_batches(TABLE_ROWS)


def _unchanged(known: Mark | None, statement: Statement, database: Database) -> Mark | None:
    """Return the mark if the database still has those rows."""
    if known is None or known.highest is None or known.statement != _name(statement):
        return None
    now = _rows_and_digest(statement.digest(until=known.highest), database)
    if now == (known.rows, known.digest):
        return known
    print(
        f"{database.place}: the {known.rows:,} rows up to {statement.watermark} {known.highest} "
        "are no longer the same; all are collected anew",
        flush=True,
    )
    return None


def _mark_of(earlier: Path | None) -> Mark | None:
    if earlier is None or not earlier.exists():
        return None
    written = (parquet.read_schema(earlier).metadata or {}).get(KEY)
    return None if written is None else Mark(**json.loads(written))


def _rows_and_digest(sql: str, database: Database) -> tuple[int, int]:
    rows, digest = database.row(sql)
    return int(rows), int(digest)


def _name(statement: Statement) -> str:
    """Return what tells one statement from another, its types included."""
    columns = [(each.name, each.expression, str(each.type)) for each in statement.columns]
    identity = json.dumps([statement.dialect.name, statement.rows(), columns])
    return hashlib.sha256(identity.encode()).hexdigest()
