"""What a service has recorded, and what it takes to ask it: for tests of the prediction log."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text

from api.http.keyring import new_key
from api.prediction_log.clock import CLOCKS, Clocks
from api.prediction_log.log import PredictionLog
from api.prediction_log.recent import Recent, Signatures

SERVER = "postgresql://postgres@127.0.0.1:5432"
KEY, KEY_LINE = new_key("tests")
HEADERS = {"Authorization": f"Bearer {KEY}"}

Row = dict[str, Any]


def rows_in(database: Path | str) -> list[Row]:
    """Return the predictions in a database, the oldest first; none where there is no table yet."""
    if isinstance(database, Path) and not database.exists():
        return []
    url = (
        f"sqlite:///{database}"
        if isinstance(database, Path)
        else str(database).replace("sql://", "sql+psycopg://")
    )
    engine = create_engine(url)
    try:
        if not inspect(engine).has_table("predictions"):
            return []
        with engine.connect() as connection:
            found = connection.execute(text("SELECT * FROM predictions ORDER BY time, id"))
            return [dict(row) for row in found.mappings()]
    finally:
        engine.dispose()


def log_of(app: Any) -> PredictionLog:
    """Return the log of an application, which has one."""
    log: PredictionLog = app.services.log
    return log


def counting(state_dir: Path, models: Path | None = None, clocks: Clocks = CLOCKS) -> Recent:
    """Return what counts the rows of models in a folder, of none without one."""
    signatures = Signatures(state_dir / "none" if models is None else models, state_dir)
    return Recent(state_dir, signatures, lambda _: frozenset(), clocks=clocks)


def ids_in(database: Path | str) -> list[str]:
    return [row["id"] for row in rows_in(database)]


def lines(body: str) -> list[Row]:
    """Return the rows of an export as JSON lines."""
    return [json.loads(line) for line in body.splitlines()]


@contextmanager
def postgresql() -> Iterator[str]:
    """Yield the name of a new database of PostgreSQL, which goes afterwards."""
    name = f"treeline_{uuid4().hex[:12]}"
    try:
        server = psycopg.connect(SERVER, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL listens at 127.0.0.1:5432")
    with server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Gate:
    """A port through which a server is reached while it is open."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: list[socket.socket] = []
        self._open = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        self.open()

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        """Refuse new connections and break those there are."""
        self._open.clear()
        while self._pairs:
            broken(self._pairs.pop())

    def close(self) -> None:
        self.shut()
        broken(self._listening)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if not self._open.is_set():
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._pairs += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()


def carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(1 << 16):
            target.sendall(some)
    broken(source)
    broken(target)


def broken(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
