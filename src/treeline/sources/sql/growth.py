"""Rows with a watermark: those already here, if nothing changed among them, and those since.

A collection leaves a mark in the metadata of `raw.parquet`: the highest watermark, how many rows
there were up to it, and the sum of their hashes, as the database reckons them. The next one asks
for the same sum again. Where it differs (a row was changed, removed, or came late), everything is
collected anew; so the rows are always those that a full collection would have brought.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from treeline.errors import SourceBusyError, SourceError
from treeline.sources.sql.database import Database
from treeline.sources.sql.spool import TABLE_ROWS
from treeline.sources.sql.statement import Statement

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
    rows, digest = _asked(statement.digest(after=after, until=highest), database)
    if known:
        rows, digest = known.rows + rows, known.digest + digest
    return Span(known, Mark(_name(statement), highest, rows, digest))


def check(span: Span, statement: Statement, database: Database, *, rows: int) -> None:
    """Raise SourceBusyError if the table changed while its rows came."""
    now = _asked(statement.digest(until=span.mark.highest), database)
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
    now = _asked(statement.digest(until=known.highest), database)
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
    found = (parquet.read_schema(earlier).metadata or {}).get(KEY)
    return None if found is None else Mark(**json.loads(found))


def _asked(sql: str, database: Database) -> tuple[int, int]:
    rows, digest = database.row(sql)
    return int(rows), int(digest)


def _name(statement: Statement) -> str:
    """Return what tells one statement from another, its types included."""
    columns = [(each.name, each.asked, str(each.type)) for each in statement.columns]
    told = json.dumps([statement.dialect.name, statement.rows(), columns])
    return hashlib.sha256(told.encode()).hexdigest()
