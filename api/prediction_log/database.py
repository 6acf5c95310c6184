"""The database of the prediction log: opened, filled and cleared by the shipper, read by workers.

SQLAlchemy takes a while to import: a worker reaches this module by name, when it is asked for what
was recorded.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    delete,
    event,
    exists,
    func,
    insert,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from api.prediction_log.tables import SCHEMA_VERSION, feedback, metadata, predictions, schema
from treeline.errors import ConfigError

Row = dict[str, Any]

FILE = "predictions.sqlite"
CREATING = 7_281_305  # any number: the advisory lock under which PostgreSQL makes the tables
WAIT_SECONDS = 5


def _as_it_is(document: bytes | str) -> str:
    """Return a JSON text: what we give and take is JSON already."""
    return document if isinstance(document, str) else document.decode()


POSTGRESQL = {
    "json_serializer": _as_it_is,
    "json_deserializer": _as_it_is,
    "pool_pre_ping": True,
    "connect_args": {
        "connect_timeout": WAIT_SECONDS,
        "keepalives_idle": WAIT_SECONDS,
        "keepalives_interval": WAIT_SECONDS,
        "tcp_user_timeout": 2000 * WAIT_SECONDS,  # a host that is gone must not hold us for minutes
    },
}
# A file is opened anew each time, lest we go on with one that was removed or replaced.
SQLITE = {"poolclass": NullPool, "connect_args": {"timeout": WAIT_SECONDS}}


def url_of(given: str | None, state_dir: Path) -> URL:
    """Return the URL of the log's database; raises ConfigError for one of another kind."""
    if not given:
        return URL.create("sqlite", database=str(state_dir.resolve() / FILE))
    url = make_url(given)
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        raise ConfigError(
            f"API_PREDICTION_LOG_URL: {url.get_backend_name()} is not supported; "
            "give a URL of PostgreSQL or SQLite"
        )
    return url


class Database:
    """Where predictions are kept. Every method raises SQLAlchemyError when it cannot be reached."""

    def __init__(self, url: URL) -> None:
        is_postgresql = url.get_backend_name() == "postgresql"
        # What was recorded has no place in messages.
        self.engine: Engine = create_engine(
            url, hide_parameters=True, **(POSTGRESQL if is_postgresql else SQLITE)
        )
        self._dialect = postgresql if is_postgresql else sqlite
        self._prepared = False
        self._lock = threading.Lock()
        if not is_postgresql:
            event.listen(self.engine, "connect", _with_write_ahead_log)

    def prepare(self) -> None:
        """Make the tables where they are missing; raises ConfigError for those of a later time."""
        with self._lock:
            if not self._prepared:
                self._prepare()
                self._prepared = True

    def _prepare(self) -> None:
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # others may be at it too
                connection.execute(select(func.pg_advisory_xact_lock(CREATING)))
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            metadata.create_all(connection)
            version = connection.scalar(select(schema.c.version))
            if version is None:
                connection.execute(insert(schema), {"version": SCHEMA_VERSION})
            elif version != SCHEMA_VERSION:
                raise ConfigError(
                    f"The prediction log has tables of version {version}, and this service knows "
                    f"{SCHEMA_VERSION}; run the release that made them, or give another database"
                )

    def add(self, rows: Sequence[Row], truths: Sequence[Row]) -> None:
        """Add predictions that are not there yet, and truths unless a later one is."""
        with self.engine.begin() as connection:
            if rows:
                self._add_predictions(connection, rows)
            if truths:
                self._add_truths(connection, truths)

    def forget(self, *, before: float, most: int) -> int:
        """Remove the oldest predictions before a time, with their truths; return how many."""
        old = select(predictions.c.id).where(predictions.c.time < before)
        lone = select(feedback.c.id).where(
            feedback.c.time < before, ~exists().where(predictions.c.id == feedback.c.id)
        )
        with self.engine.begin() as connection:
            ids = connection.scalars(old.order_by(predictions.c.time).limit(most)).all()
            truths = ids or connection.scalars(lone.limit(most)).all()
            connection.execute(delete(feedback).where(feedback.c.id.in_(truths)))
            connection.execute(delete(predictions).where(predictions.c.id.in_(ids)))
        return len(truths)

    def doubt(self) -> None:
        """After a failure, trust neither connections nor that the tables are there."""
        self.engine.dispose()
        self._prepared = False

    def _add_predictions(self, connection: Connection, rows: Sequence[Row]) -> None:
        adding = self._dialect.insert(predictions).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(adding, list(rows))

    def _add_truths(self, connection: Connection, truths: Sequence[Row]) -> None:
        adding = self._dialect.insert(feedback)
        latest = adding.on_conflict_do_update(
            index_elements=["id"],
            set_={"time": adding.excluded.time, "truth": adding.excluded.truth},
            where=adding.excluded.time >= feedback.c.time,
        )
        connection.execute(latest, list(truths))


def _with_write_ahead_log(connection: DBAPIConnection, _record: object) -> None:
    """Let SQLite be read while it is written."""
    cursor = connection.cursor()
    with suppress(Exception):  # it may be locked now, and was set long ago
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
