"""Databases that a test may fill, one of each kind: skipped by name where no server listens."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres?connect_timeout=2"
MYSQL = "mysql+pymysql://root@127.0.0.1:3306/?connect_timeout=2"
MISSING = {
    "postgresql": "needs PostgreSQL at 127.0.0.1:5432",
    "mysql": "needs MySQL or MariaDB at 127.0.0.1:3306",
}


@dataclass(frozen=True)
class Filled:
    """An empty database: its URL as `params.yaml` has it, and a way to write to it."""

    kind: str
    url: str
    engine: Engine

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@contextmanager
def _on_server(kind: str, url: str, *, dropping: str) -> Iterator[Filled]:
    name = f"treeline_{uuid4().hex[:12]}"
    server = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        pytest.skip(MISSING[kind])
    made = make_url(url).set(database=name, query={})
    engine = create_engine(made, poolclass=NullPool)
    try:
        yield Filled(kind, made.set(drivername=kind).render_as_string(), engine)
    finally:
        with server.connect() as connection:
            connection.execute(text(dropping.format(name)))


@contextmanager
def _in_file(folder: Path) -> Iterator[Filled]:
    url = f"sqlite:///{folder}/rows.sqlite"
    yield Filled("sqlite", url, create_engine(url, poolclass=NullPool))


def opened(kind: str, folder: Path) -> AbstractContextManager[Filled]:
    """Return a context manager that yields an empty database of a kind, gone afterwards."""
    if kind == "sqlite":
        return _in_file(folder)
    if kind == "mysql":
        return _on_server("mysql", MYSQL, dropping="DROP DATABASE {}")
    return _on_server("postgresql", POSTGRESQL, dropping="DROP DATABASE {} WITH (FORCE)")
