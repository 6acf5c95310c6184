"""Requests over plain sockets, such as no client library would send, and their answers."""

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse

from tests.fuzz.cases import Request

MOST_READ = 256 << 20
HOST = "127.0.0.1"
PIECE = 1 << 16
RAW_SECONDS = 2.0  # for the answer to a raw request, which may say that more of it is to come


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 says that no answer did, and `fault` how it ended."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    fault: str = ""

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0]


def ask(port: int, request: Request, *, timeout: float) -> Answer:
    """Send a request over a connection of its own, and return what comes back in time."""
    started = time.monotonic()
    timeout = RAW_SECONDS if request.raw is not None else timeout
    try:
        with socket.create_connection((HOST, port), timeout=timeout) as caller:
            _send(caller, encoded(request) if request.raw is None else request.raw)
            return _read(caller, request, started, timeout)
    except TimeoutError:
        fault = f"no answer within {timeout:g} s"
    except (OSError, HTTPException) as error:
        fault = f"closed without an answer: {type(error).__name__} {error}"
    return Answer(0, seconds=time.monotonic() - started, fault=fault)


def encoded(request: Request) -> bytes:
    """Return the bytes of a request."""
    headers = {"Host": f"{HOST}", "Content-Length": str(len(request.body)), **request.headers}
    lines = [f"{request.method} {request.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**headers, "Connection": "close"}.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + request.body


def _send(caller: socket.socket, payload: bytes) -> None:
    # It may have answered before the end, and the answer is there to be read.
    with suppress(BrokenPipeError, ConnectionResetError):
        caller.sendall(payload)


def _read(caller: socket.socket, request: Request, started: float, timeout: float) -> Answer:
    response = HTTPResponse(caller, method=request.method)
    response.begin()
    pieces, size = [], 0
    while piece := response.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_READ or time.monotonic() - started > timeout:
            break
    return Answer(
        response.status,
        b"".join(pieces),
        {name.lower(): value for name, value in response.getheaders()},
        time.monotonic() - started,
    )
