"""The server itself: heads that are too large or too slow, and what no parser reads."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from api.http import server
from api.http.server import LimitedProtocol

GET = b"GET / HTTP/1.1\r\nHost: tests\r\n"
Ask = Callable[..., bytes]


async def application(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    said = b""
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            said += piece
    return said


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Send some bytes, and return what a server of these limits says before it closes."""

    async def talk(*pieces: bytes, pause_seconds: float) -> bytes:
        config = uvicorn.Config(
            application, http=LimitedProtocol, lifespan="off", log_level="error"
        )
        config.load()
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            lambda: LimitedProtocol(config, state, {}), "127.0.0.1", 0
        )
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        reading = asyncio.create_task(until_closed(reader))
        with suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause_seconds)
            writer.write_eof()
        said = await asyncio.wait_for(reading, 10)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        listening.close()
        return said

    def run(*pieces: bytes, pause_seconds: float = 0.05) -> bytes:
        return asyncio.run(talk(*pieces, pause_seconds=pause_seconds))

    yield run


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GET + b"\r\n", 204),
        (GET + b"X-Long: " + b"a" * 8000 + b"\r\n\r\n", 204),
        (GET + b"a: b\r\n" * 90 + b"\r\n", 204),
        (GET + b"a: b\r\n" * 200 + b"\r\n", 431),
        (GET + b"a: b\r\n" * 40_000 + b"\r\n", 431),
        (GET + b"X-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (GET + b"X-Long: " + b"a" * 1_000_000, 431),
        (GET + (b"X-Long: " + b"a" * 8000 + b"\r\n") * 20 + b"\r\n", 431),
        (b"a" * 1_000_000, 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /?" + b"a=1&" * 100_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"a" * 1_000_000, 414),
        (b"no HTTP\r\n\r\n", 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_head_has_limits(ask: Ask, head: bytes, status: int) -> None:
    said = ask(head)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert said.count(b"HTTP/1.1") == 1
    if status != 204:
        assert b"connection: close" in said


@pytest.mark.parametrize("piece", [b"X-Slow: ", b"X", b"X: 1\r\n"])
def test_a_head_must_be_whole_in_time(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.1)
    said = ask(GET, *([piece] * 12), pause_seconds=0.1)
    assert said.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("pieces", [(), (GET + b"\r\n", b"\r\n", b"\r\n")])
def test_a_connection_that_asks_for_nothing_is_closed(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...]
) -> None:
    closed: list[float] = []
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.1)
    lost = LimitedProtocol.connection_lost

    def connection_lost(self: LimitedProtocol, error: Exception | None) -> None:
        closed.append(self.loop.time() - began[0])
        lost(self, error)

    began = [0.0]
    made = LimitedProtocol.connection_made

    def connection_made(self: LimitedProtocol, transport: Any) -> None:
        began[0] = self.loop.time()
        made(self, transport)

    monkeypatch.setattr(LimitedProtocol, "connection_lost", connection_lost)
    monkeypatch.setattr(LimitedProtocol, "connection_made", connection_made)
    ask(*pieces, *([b""] * 20), pause_seconds=0.1)
    assert closed
    assert closed[0] < 1.9  # long before its caller has ended it


def test_a_request_that_is_answered_slowly_is_not_cut_off(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.1)
    head = GET + b"Content-Length: 8\r\n\r\n"
    assert ask(head, *([b"a"] * 8), pause_seconds=0.1).startswith(b"HTTP/1.1 204")


def test_few_requests_wait_for_a_former_one(ask: Ask) -> None:
    said = ask((GET + b"\r\n") * 40)
    assert said.count(b"HTTP/1.1 204") <= server.MOST_PIPELINED + 1
    assert b"HTTP/1.1 429" in said
    assert ask((GET + b"\r\n") * 5000).count(b"HTTP/1.1 204") <= server.MOST_PIPELINED + 1
    assert ask((GET + b"\r\n") * 10).count(b"HTTP/1.1 204") == 10


def test_fields_behind_a_body_are_few(ask: Ask) -> None:
    chunked = GET + b"Transfer-Encoding: chunked\r\n\r\n"
    body = chunked + b"1\r\na\r\n0\r\n"
    assert b" 204 " in ask(body + b"a: b\r\n" * 5 + b"\r\n")
    assert b" 204 " not in ask(body + b"a: b\r\n" * 5000 + b"\r\n")
