"""A database behind a SQLAlchemy URL: opened with its password, asked small questions."""

import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, NullPool, create_engine, event, inspect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from treeline.errors import MissingExtraError, SourceBusyError, SourceError
from treeline.registry import way_out

WHOLE = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Dialect:
    """The SQL of one kind of database.

    `text` is the type that any value can be cast to; `session` runs on each new connection;
    `row_hash` makes of quoted columns an expression that differs, but for chance, where rows do.
    """

    name: str
    mark: str
    text: str
    session: tuple[str, ...]
    row_hash: Callable[[Sequence[str]], str]

    def quoted(self, name: str) -> str:
        """Return the name of a column or table as the database reads it."""
        return f"{self.mark}{name.replace(self.mark, self.mark * 2)}{self.mark}"

    def literal(self, value: str) -> str:
        """Return a value as it stands in SQL: a whole number bare, anything else in quotes."""
        if WHOLE.fullmatch(value):
            return value
        return self.text_literal(value)

    def text_literal(self, value: str) -> str:
        """Return a text as it stands in SQL."""
        if self.name == "mysql":
            value = value.replace("\\", "\\\\")
        return "'" + value.replace("'", "''") + "'"


def _postgresql_hash(columns: Sequence[str]) -> str:
    return f"hashtextextended(CAST(ROW({', '.join(columns)}) AS text), 0)"


def _mysql_hash(columns: Sequence[str]) -> str:
    # CONCAT_WS leaves NULL out, so each value stands beside whether it is one
    parts = (f"ISNULL({column}), IFNULL({column}, '')" for column in columns)
    return f"CRC32(CONCAT_WS('|', {', '.join(parts)}))"


def _sqlite_hash(columns: Sequence[str]) -> str:
    return f"treeline_hash({', '.join(columns)})"


DIALECTS = {
    "postgresql": Dialect(
        "postgresql",
        mark='"',
        text="text",
        session=(
            "SET TIME ZONE 'UTC'",
            "SET DateStyle = 'ISO'",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        ),
        row_hash=_postgresql_hash,
    ),
    "mysql": Dialect(
        "mysql",
        mark="`",
        text="char",
        session=("SET time_zone = '+00:00'", "SET SESSION TRANSACTION READ ONLY"),
        row_hash=_mysql_hash,
    ),
    "sqlite": Dialect("sqlite", mark='"', text="text", session=(), row_hash=_sqlite_hash),
}


def dialect_of(backend: str) -> Dialect:
    """Return the dialect of `postgresql`, `mysql` (MariaDB too) or `sqlite`."""
    return DIALECTS[backend]


__all__ = ["Connection", "Database", "retried"]

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5  # doubled before each further attempt
WAIT_SECONDS = 10
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
CONNECTING = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "sqlite": "timeout"}

# What may pass: connection lost or not to be had now, server starting or stopping, too many
# connections, deadlock, lock not had in time. SQLSTATEs of PostgreSQL, numbers of MySQL, and words
# where there is neither: of SQLite, and of psycopg while there is no connection.
STATES = ("08", "40001", "40P01", "53", "55P03", "57P0")
NUMBERS = {1040, 1053, 1077, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 3024}
WORDS = (
    "database is locked",
    "database table is locked",
    "Connection refused",
    "timeout expired",
    "server closed the connection",
    "could not receive data",
    "starting up",
    "shutting down",
)

Answer = TypeVar("Answer")


class Database:
    """One database; nothing is opened before something is asked.

    `place` is where it is declared, for messages. Every method raises SourceError, and its
    subclass SourceBusyError where another attempt may help. Sessions are in UTC, and only read
    unless `writes` is set.
    """

    def __init__(self, url: str, *, password: str, place: str, writes: bool = False) -> None:
        """Take a URL without a password and the name of the variable that holds it."""
        given = make_url(url)
        backend = given.get_backend_name().replace("mariadb", "mysql")
        if backend != "sqlite" and os.environ.get(password):
            given = given.set(password=os.environ[password])
        self.url: URL = given.set(drivername=DRIVERS[backend])
        self.dialect: Dialect = dialect_of(backend)
        self.place = place
        self._password = password
        self._session = self.dialect.session[: 1 if writes else None]
        try:
            self._engine = create_engine(
                self.url if writes or backend != "sqlite" else _read_only(self.url),
                poolclass=NullPool,
                hide_parameters=True,
                connect_args={CONNECTING[backend]: WAIT_SECONDS},
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"{place}: {url!r} needs the package {error.name!r}; {way_out('sql')}"
            ) from error
        event.listen(self._engine, "connect", self._prepare)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield a connection; whatever it fails with becomes a SourceError."""
        try:
            with self._engine.connect() as connection:
                yield connection.execution_options(no_parameters=True)
        except SQLAlchemyError as error:
            raise self.failed(error) from error

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the one row that a query answers."""
        with self.connected() as connection:
            return tuple(connection.exec_driver_sql(sql).one())

    def run(self, statements: Iterable[str]) -> None:
        """Run statements one after another, and keep what they did if all went well."""
        with self.connected() as connection, connection.begin():
            for statement in statements:
                connection.exec_driver_sql(statement)

    def primary_key(self, table: str) -> list[str]:
        """Return the columns of a table's primary key, none where it has no such key."""
        schema, _, name = table.rpartition(".")
        with self.connected() as connection:
            try:
                key = inspect(connection).get_pk_constraint(name, schema=schema or None)
            except NoSuchTableError:
                raise SourceError(
                    f"{self.place}.table: the database has no table {table!r} that "
                    f"{self.url.username or 'this process'} may read; correct the name"
                ) from None
        return list(key["constrained_columns"])

    def failed(self, error: Exception) -> SourceError:
        """Return what to raise for what went wrong."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        message = self.redacted(str(cause))
        if _may_pass(error):
            return SourceBusyError(message)
        return SourceError(
            f"{message}; correct the declaration, or what the user may do there "
            f"(the password is read from {self._password})"
        )

    def redacted(self, message: str) -> str:
        """Return a message of the database with its place, and without the password."""
        where = self.url.set(drivername=self.dialect.name, password=None).render_as_string()
        message = " ".join(message.split())
        if self.url.password:
            for secret in {str(self.url.password), quote_plus(str(self.url.password))}:
                message = message.replace(secret, "***")
        return f"{self.place}: {where}: {message}"

    def _prepare(self, connection: DBAPIConnection, _record: object) -> None:
        if self.dialect.name == "sqlite":  # it has no function that tells rows apart
            connection.create_function("treeline_hash", -1, _hash, deterministic=True)
        cursor = connection.cursor()
        for statement in self._session:
            cursor.execute(statement)
        cursor.close()
        connection.commit()


def retried(
    attempt: Callable[[], Answer], *, first_pause_seconds: float = FIRST_PAUSE_SECONDS
) -> Answer:
    """Return what `attempt` returns, trying again after a SourceBusyError."""
    pause = first_pause_seconds
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except SourceBusyError as error:
            print(f"{error}; trying again in {pause:g} seconds", flush=True)
        time.sleep(pause)
        pause *= 2
    try:
        return attempt()
    except SourceBusyError as error:
        raise SourceError(
            f"{error} ({ATTEMPTS} attempts); check that it can be reached from here, "
            "or try again later"
        ) from error


def _read_only(url: URL) -> URL:
    """Return the URL of a SQLite file that must exist and is only read."""
    file = f"file:{quote(str(url.database))}"
    return url.set(database=file).update_query_dict({"mode": "ro", "uri": "true"})


def _hash(*values: object) -> int:
    return zlib.crc32(repr(values).encode())


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    state, first = getattr(error.orig, "sqlstate", None), next(iter(error.orig.args), None)
    if state is not None:
        return str(state).startswith(STATES)
    return first in NUMBERS if isinstance(first, int) else any(word in str(first) for word in WORDS)
