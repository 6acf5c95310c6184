"""The declared rows of a database → tables, all here before the first is handed on."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from treeline.config.sources import SqlSource
from treeline.errors import SourceError
from treeline.sources.sql import bulk, file, growth, spool
from treeline.sources.sql.database import FIRST_PAUSE_SECONDS, Database, retried
from treeline.sources.sql.statement import Statement, stated
from treeline.sources.sql.types import typed

PLACE = "source"


@dataclass(frozen=True)
class Collected:
    """Rows on disk: those that were here before, if any, and those that came now."""

    schema: pa.Schema
    here: Path | None
    now: Path


class SqlTables:
    """The rows of one table or query, in a fixed order and of a few types (`types`).

    `earlier` is what an earlier collection wrote, or where it would be; it is looked at where the
    rows have a watermark.
    """

    def __init__(
        self,
        spec: SqlSource,
        *,
        earlier: Path | None = None,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._spec = spec
        self._earlier = earlier
        self._first_pause_seconds = first_pause_seconds

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows; raises SourceError, MissingExtraError where a driver is not installed."""
        spec = self._spec
        database = Database(spec.url, password=spec.password, place=PLACE)
        with tempfile.TemporaryDirectory() as folder:
            collected = retried(
                lambda: self._collect(database, Path(folder, "rows.arrow")),
                first_pause_seconds=self._first_pause_seconds,
            )
            here = growth.rows_of(collected.here) if collected.here else iter(())
            yield from spool.tables(chain(here, spool.read(collected.now)), collected.schema)

    def _collect(self, database: Database, path: Path) -> Collected:
        statement = stated(self._spec, database)
        if self._spec.watermark is None:
            schema, _ = _spooled(database, statement, statement.rows(), path)
            return Collected(schema, None, path)
        return self._grown(database, statement, path, earlier=self._earlier)

    def _grown(
        self, database: Database, statement: Statement, path: Path, *, earlier: Path | None
    ) -> Collected:
        span = growth.span_of(statement, database, earlier)
        schema, rows = _spooled(database, statement, span.sql(statement), path)
        growth.check(span, statement, database, rows=rows)
        here = earlier if span.known else None
        if (
            here and parquet.read_schema(here).remove_metadata() != schema
        ):  # written by another release of this code
            return self._grown(database, statement, path, earlier=None)
        return Collected(schema.with_metadata(span.mark.metadata()), here, path)


def _spooled(
    database: Database, statement: Statement, sql: str, path: Path
) -> tuple[pa.Schema, int]:
    """Write the typed rows of a query to a file; return their schema and number."""
    columns, in_file = statement.columns, database.dialect.name == "sqlite"
    if not in_file or all(column.firm for column in columns):
        found = (typed(batch, columns) for batch in bulk.batches(database, sql))
        try:
            return spool.write(path, _ordered(found, statement))
        except SourceError:
            if not in_file:
                raise
            # A value is not as its column was declared; below it is read, or told by its column.
    with database.connected() as connection:
        rows = file.batches(connection, sql, columns)
        return spool.write(path, _ordered(rows, statement))


def _ordered(found: Iterator[pa.RecordBatch], statement: Statement) -> Iterator[pa.RecordBatch]:
    """Return the same rows; their order is looked at where no key promises it."""
    return found if statement.unique else spool.distinct(found, statement.order, place=PLACE)
