"""A query of a SQLite file → batches, by way of Python's driver: slower, for loose types."""

from collections.abc import Iterator

import pyarrow as pa

from treeline.errors import SourceError
from treeline.sources.sql.database import Connection
from treeline.sources.sql.types import Column

BATCH_ROWS = 50_000


def batches(
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
