"""The database of the prediction log, in SQLite and PostgreSQL alike.

The shipper opens, fills and clears it, workers read it. SQLAlchemy takes a while to import: a
worker reaches this module by name, when a log is read. Times are seconds since 1970; documents are
JSON as they were sent (`JSON` to PostgreSQL).

Tables of an older release are upgraded in the transaction in which they are opened. Every step
only adds: a replica of the older release that still runs goes on writing.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    NullPool,
    Table,
    Text,
    create_engine,
    delete,
    event,
    exists,
    func,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.schema import CreateColumn

from api.prediction_log.addresses import FILE, SCHEMA_TABLE, SCHEMA_VERSION, check_tables, check_url

# In SQLite the type JSON would turn the document `1.0` into the number 1.
Document = Text().with_variant(JSON(none_as_null=True), "postgresql")

metadata = MetaData()

predictions = Table(
    "predictions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("features", Document, nullable=False),
    Column("prediction", Document, nullable=False),
    Column("probability", Double),
    Column("probabilities", Document),
    Column("latency_seconds", Double, nullable=False),
    Column("key", Text),  # of the caller; many predictions may have the same
    Index("predictions_time", "time", "id"),
    Index("predictions_model_time", "model", "time", "id"),
)
keyed = predictions.c.key.is_not(None)
predictions_key = Index(
    "predictions_key",
    predictions.c.model,
    predictions.c.key,
    sqlite_where=keyed,  # it costs nothing where nobody has keys
    postgresql_where=keyed,
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),  # of a prediction that may not be there yet
    Column("time", Double, nullable=False),
    Column("truth", Document, nullable=False),
)

feedback_by_key = Table(
    "feedback_by_key",
    metadata,
    Column("model", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # of predictions that may not be there yet
    Column("time", Double, nullable=False),
    Column("truth", Document, nullable=False),
)

schema = Table(SCHEMA_TABLE, metadata, Column("version", Integer, primary_key=True))


logger = logging.getLogger(__name__)


def _with_keys(connection: Connection) -> None:
    """Give predictions the key of their caller, and truths a table by it."""
    column = CreateColumn(predictions.c.key).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {predictions.name} ADD COLUMN {column}")
    predictions_key.create(connection)
    feedback_by_key.create(connection)


STEPS: dict[int, Callable[[Connection], None]] = {1: _with_keys}  # from this version to the next


def upgrade(connection: Connection, version: int) -> None:
    """Bring tables of a version to that of this release, if they are older."""
    for step in range(version, SCHEMA_VERSION):
        STEPS[step](connection)
    if version < SCHEMA_VERSION:
        connection.execute(update(schema).values(version=SCHEMA_VERSION))
        logger.info(
            "The prediction log is upgraded from version %d to %d", *(version, SCHEMA_VERSION)
        )


Row = dict[str, Any]

CREATING = 7_281_305  # any number: the advisory lock under which PostgreSQL makes the tables
WAIT_SECONDS = 5
AHEAD_SECONDS = 3600  # by which the clocks of two machines may well differ
SQLITE_STEPS = 10_000  # of its machine, between two looks at the clock: some 0.1 ms


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
    kind, url = check_url(given), make_url(given)
    return url.set(drivername="postgresql+psycopg") if kind == "postgresql" else url


@dataclass(frozen=True)
class Limits:
    """How long one statement may take, and how long it may wait for a lock."""

    statement_seconds: float
    lock_seconds: float = WAIT_SECONDS


class Database:
    """Where predictions are kept. Every method raises SQLAlchemyError when it cannot be reached."""

    def __init__(self, url: URL, *, limits: Limits | None = None) -> None:
        """Without `limits`, a statement may take as long as it does."""
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
        if limits is not None:
            limited = _limited_postgresql if is_postgresql else _limited_sqlite
            event.listen(self.engine, "begin", partial(limited, limits=limits))

    def prepare(self) -> None:
        """Make the tables where they are missing; raises ConfigError for those of a later time."""
        with self._lock:
            if not self._prepared:
                self._make_private()
                self._prepare()
                self._prepared = True

    def _make_private(self) -> None:
        """Make the file of SQLite before SQLite does, closed to others; the rest takes after it."""
        file = self.engine.url.database
        if self._dialect is sqlite and file and not file.startswith(("file:", ":")):
            with suppress(OSError):
                os.close(os.open(file, os.O_CREAT, 0o600))

    def _prepare(self) -> None:
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # others may be at it too
                connection.execute(select(func.pg_advisory_xact_lock(CREATING)))
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            tables = inspect(connection).get_table_names()
            version = None
            if schema.name in tables:
                version = connection.scalar(select(schema.c.version))
            check_tables(tables, version)
            if version is not None:
                upgrade(connection, version)
            metadata.create_all(connection)
            if version is None:
                connection.execute(insert(schema), {"version": SCHEMA_VERSION})

    def add(self, rows: Sequence[Row], truths: Sequence[Row]) -> None:
        """Add predictions that are not there yet, and truths unless a later one is.

        One of a time that has not come yet is of a clock that was ahead: any other is later.
        """
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
        keyed = delete(feedback_by_key).where(
            feedback_by_key.c.time < before,
            ~exists().where(
                predictions.c.model == feedback_by_key.c.model,
                predictions.c.key == feedback_by_key.c.key,
            ),
        )
        with self.engine.begin() as connection:
            ids = connection.scalars(old.order_by(predictions.c.time).limit(most)).all()
            truths = ids or connection.scalars(lone.limit(most)).all()
            connection.execute(delete(feedback).where(feedback.c.id.in_(truths)))
            connection.execute(delete(predictions).where(predictions.c.id.in_(ids)))
            if not truths:  # what is left are truths by a key of no prediction
                connection.execute(keyed)
        return len(truths)

    def newest(self) -> float | None:
        """Return the time of the last prediction, if there is one."""
        with self.engine.connect() as connection:
            time: float | None = connection.scalar(select(func.max(predictions.c.time)))
            return time

    def doubt(self) -> None:
        """After a failure, trust neither connections nor that the tables are there."""
        self.engine.dispose()
        self._prepared = False

    def _add_predictions(self, connection: Connection, rows: Sequence[Row]) -> None:
        adding = self._dialect.insert(predictions).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(adding, list(rows))

    def _add_truths(self, connection: Connection, truths: Sequence[Row]) -> None:
        for table in (feedback, feedback_by_key):
            names = list(table.primary_key.columns.keys())
            chosen = [truth for truth in truths if names[0] in truth]
            adding = self._dialect.insert(table)
            latest = adding.on_conflict_do_update(
                index_elements=names,
                set_={"time": adding.excluded.time, "truth": adding.excluded.truth},
                where=(adding.excluded.time >= table.c.time)
                | (table.c.time > time.time() + AHEAD_SECONDS),
            )
            if chosen:
                connection.execute(latest, chosen)


def _limited_postgresql(connection: Connection, *, limits: Limits) -> None:
    """Limit the statements of a transaction; of it alone, as a pool may hand the session on."""
    for name, seconds in (("statement", limits.statement_seconds), ("lock", limits.lock_seconds)):
        connection.exec_driver_sql(f"SET LOCAL {name}_timeout = {ceil(1000 * seconds)}")


def _limited_sqlite(connection: Connection, *, limits: Limits) -> None:
    """Interrupt what a transaction does once its time is over; a lock has its own timeout."""
    deadline = time.monotonic() + limits.statement_seconds
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() > deadline, SQLITE_STEPS)


def _with_write_ahead_log(connection: DBAPIConnection, _record: object) -> None:
    """Let SQLite be read while it is written."""
    cursor = connection.cursor()
    with suppress(Exception):  # it may be locked now, and was set long ago
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
