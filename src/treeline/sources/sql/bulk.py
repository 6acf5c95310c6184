"""A query → batches, by way of Rust and Arrow (connectorx)."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import connectorx
import pyarrow as pa

from treeline.errors import SourceBusyError, SourceError
from treeline.sources.sql.database import Database

BATCH_ROWS = 50_000

# What connectorx says is all there is to tell the ways of failing apart. The database has already
# described the query to SQLAlchemy, so names and rights are not among them.
OF_A_VALUE = ("Could not retrieve", "Couldn't convert", "not implemented", "FromSql", "overflow")


def batches(database: Database, sql: str) -> Iterator[pa.RecordBatch]:
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
        told = database.told(str(error))
        if any(words in told for words in OF_A_VALUE):
            raise SourceError(
                f"{told}; a value has no counterpart outside the database: convert it in a `query`"
            ) from None
        raise SourceBusyError(told) from None


def _address(database: Database) -> str:
    """Return the URL as connectorx reads it, password included."""
    url = database.url.set(drivername=database.dialect.name)
    if database.dialect.name == "sqlite":
        return f"sqlite://{quote(str(Path(str(url.database)).resolve()))}"
    return url.render_as_string(hide_password=False)
