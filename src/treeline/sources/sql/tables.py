"""The declared rows of a database → tables, all here before the first is handed on."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import connectorx
import pyarrow as pa
from pyarrow import parquet

from treeline.config.sources import SqlSource
from treeline.errors import SourceBusyError, SourceError
from treeline.sources.sql import growth
from treeline.sources.sql.database import FIRST_PAUSE_SECONDS, Connection, Database, retried
from treeline.sources.sql.statement import Column, Statement, stated, typed

BATCH_ROWS = 50_000

# What connectorx says is all there is to tell the ways of failing apart. The database has already
# described the query to SQLAlchemy, so names and rights are not among them.
OF_A_VALUE = ("Could not retrieve", "Couldn't convert", "not implemented", "FromSql", "overflow")


def arrow_batches(database: Database, sql: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one statement, hence of one moment, as connectorx types them.

    Raises SourceError, or SourceBusyError when the connection was lost on the way.
    """
    try:
        reader = connectorx.read_sql(
            _address(database),
            sql,
            return_type="arrow_stream",
            batch_size=BATCH_ROWS,
            pre_execution_query=list(database.dialect.session) or None,
        )
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader
    except BaseException as error:  # a panic of Rust is no Exception
        if not isinstance(error, RuntimeError) and type(error).__name__ != "PanicException":
            raise
        message = database.redacted(str(error))
        if any(words in message for words in OF_A_VALUE):
            raise SourceError(
                f"{message}; a value has no counterpart outside the database: convert it in "
                "a `query`"
            ) from None
        raise SourceBusyError(message) from None


def _address(database: Database) -> str:
    """Return the URL as connectorx reads it, password included."""
    url = database.url.set(drivername=database.dialect.name)
    if database.dialect.name == "sqlite":
        return f"sqlite://{quote(str(Path(str(url.database)).resolve()))}"
    return url.render_as_string(hide_password=False)


def sqlite_batches(
    connection: Connection, sql: str, columns: tuple[Column, ...]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one statement, typed; raises SourceError naming a column it cannot type."""
    cursor = connection.exec_driver_sql(sql).cursor
    schema = pa.schema([(column.name, column.type) for column in columns])
    yield pa.RecordBatch.from_pylist([], schema=schema)
    while rows := cursor.fetchmany(BATCH_ROWS):
        arrays = [
            _typed(list(values), column)
            for values, column in zip(zip(*rows, strict=True), columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _typed(values: list[object], column: Column) -> pa.Array:
    try:
        if pa.types.is_temporal(column.type):  # SQLite keeps dates as text
            return pa.array(values, pa.string()).cast(column.type)
        if pa.types.is_boolean(column.type):
            return pa.array(values, pa.int64()).cast(column.type)
        return pa.array(values, column.type)
    except (pa.ArrowException, TypeError) as error:
        raise SourceError(
            f"column {column.name!r} holds what is no {column.type}, as it was declared: {error}; "
            "correct the rows, or cast the column in a `query`"
        ) from error


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
            yield from growth.tables(chain(here, growth.read(collected.now)), collected.schema)

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
        batches = (typed(batch, columns) for batch in arrow_batches(database, sql))
        try:
            return growth.write(path, _ordered(batches, statement))
        except SourceError:
            if not in_file:
                raise
            # A value is not as its column was declared; below it is read, or refused.
    with database.connected() as connection:
        rows = sqlite_batches(connection, sql, columns)
        return growth.write(path, _ordered(rows, statement))


def _ordered(batches: Iterator[pa.RecordBatch], statement: Statement) -> Iterator[pa.RecordBatch]:
    """Return the same rows; their order is looked at where no key promises it."""
    return batches if statement.unique else growth.distinct(batches, statement.order, place=PLACE)
