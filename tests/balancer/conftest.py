"""The balancer before a replica that writes down, byte by byte, what arrives there."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.balancing import Balancer, balancing
from tests.tiny_models import IRIS, SURVIVAL, write_model

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHECK = b"GET /readyz"


class Replica(socketserver.ThreadingTCPServer):
    """Answers whatever comes, and keeps it: each request in full, in `arrived`.

    It answers a request for /v1/slow only when `released` is set.
    """

    daemon_threads = True
    arrived: list[bytes]
    released: threading.Event

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recording)
        self.arrived, self.released = [], threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def texts(self) -> list[str]:
        return [each.decode("latin-1") for each in self.arrived]


class _Recording(socketserver.BaseRequestHandler):
    server: Replica

    def handle(self) -> None:
        text, place = b"", None
        with suppress(OSError):
            while piece := self.request.recv(65536):
                text += piece
                if text.startswith(CHECK):
                    self.request.sendall(OK)
                    return
                if place is None:
                    place = len(self.server.arrived)
                    self.server.arrived.append(b"")
                self.server.arrived[place] = text
                if b"/v1/slow" in text:
                    self.server.released.wait(20)
                self.request.sendall(OK)


@contextmanager
def recording() -> Iterator[Replica]:
    """Run a replica that writes down what arrives."""
    with Replica() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def replica() -> Iterator[Replica]:
    with recording() as server:
        yield server


@pytest.fixture
def balancer(replica: Replica, tmp_path: Path) -> Iterator[Balancer]:
    """The balancer before that replica; one caller has five connections at a time."""
    with balancing(tmp_path, replica.port, connections=5) as balancer:
        yield balancer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two exported models."""
    root = tmp_path_factory.mktemp("models")
    for recipe in (SURVIVAL, IRIS):
        write_model(root, recipe)
    return root
