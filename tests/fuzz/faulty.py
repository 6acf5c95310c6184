"""`python -m tests.fuzz.faulty PORT`: a server whose every path shows a fault, for the oracle."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SECRET = "planted-in-the-environment"
HEAD = "HTTP/1.1 {} .\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
PROBLEM = "application/problem+json"
HELD: list[bytearray] = []
LATER: set[str] = set()  # what goes wrong from now on


def answer(status: int, body: bytes = b"{}", kind: str = PROBLEM) -> bytes:
    """Return the bytes of an answer."""
    return HEAD.format(status, kind, len(body)).encode() + body


def hold() -> bytes:
    """Hold the event loop."""
    time.sleep(0.3)
    return answer(422)


def work() -> bytes:
    """Work for long."""
    ended = time.process_time() + 0.3
    while time.process_time() < ended:
        pass
    return answer(422)


def grow() -> bytes:
    """Take memory."""
    HELD.append(bytearray(b"x") * (48 << 20))
    time.sleep(0.1)
    HELD.clear()
    return answer(422)


def leave() -> bytes:
    """Leave a file behind."""
    folder = Path(os.environ["API_STATE_DIR"]) / "batches"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "left").write_text("x")
    return answer(422)


def later(what: str) -> bytes:
    """Go wrong from now on."""
    LATER.add(what)
    return answer(422)


def log(text: str) -> bytes:
    """Log something."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    return answer(422)


PATHS: dict[str, Callable[[], bytes]] = {
    "/healthz": lambda: answer(200),
    "/readyz": lambda: answer(503 if "unready" in LATER else 200),
    "/good": lambda: answer(422),
    "/v1/models/scaled/predict": lambda: answer(200, b"2" if "changed" in LATER else b"1"),
    "/changed": lambda: later("changed"),
    "/unready": lambda: later("unready"),
    "/end": lambda: os._exit(1),
    "/hold": hold,
    "/work": work,
    "/grow": grow,
    "/leave": leave,
    "/fail": lambda: answer(500),
    "/teapot": lambda: answer(418),
    "/closed": lambda: b"",
    "/long": lambda: answer(422, b'"' + b"x" * (1 << 17) + b'"'),
    "/no-json": lambda: answer(422, b"{"),
    "/secret": lambda: answer(200, os.environ["PLANTED"].encode()),
    "/crash": lambda: answer(422, b'{"type": "urn:treeline:problem:run-crashed"}'),
    "/log-secret": lambda: log(os.environ["PLANTED"]),
    "/log-forged": lambda: log("one\u2028two\x85three\x1b[2J"),
    "/log-failure": lambda: log("Traceback (most recent call last):"),
    "/log-long": lambda: log("x" * (1 << 17)),
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection until its caller goes."""
    with suppress(ConnectionError):
        await serve_all(reader, writer)
    writer.close()


async def serve_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    while line := await reader.readline():
        size = 0
        while header := (await reader.readline()).strip().lower():
            if header.startswith(b"content-length:"):
                size = int(header.partition(b":")[2])
        await reader.readexactly(size)
        path = line.split()[1].decode()
        if path == "/slow":
            await asyncio.sleep(6.5)
        writer.write(payload := PATHS.get(path, PATHS["/good"])())
        if not payload:
            break
        await writer.drain()


async def main(port: int) -> None:
    """Serve until it is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
