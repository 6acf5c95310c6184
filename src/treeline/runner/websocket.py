"""A connection that was upgraded to a WebSocket (RFC 6455): messages of bytes, in and out.

It is the client's half and no more of it than an API server of Kubernetes uses: no extensions, no
text. The standard library has none, and what the runner imports is in the lock of whatever trains.
"""

import base64
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Self

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL, MASKED = 0x80, 0x80
SHORT, LONG = 126, 127  # lengths that say how many bytes of length follow
MOST_SHORT, MOST_LONG = 125, 0xFFFF
SWITCHING = 101
MOST_BYTES = 16 << 20  # of one message; an API server's have 32 KiB


class RefusedError(HTTPException):
    """The other side has answered, but does not upgrade the connection."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


class WebSocket:
    """An open connection; methods raise OSError and HTTPException where it breaks."""

    def __init__(self, connection: HTTPSConnection, answer: HTTPResponse) -> None:
        self._connection = connection
        self._reader = answer.fp  # which may hold what came right behind the headers

    @classmethod
    def open(
        cls, connection: HTTPSConnection, path: str, *, protocol: str, headers: Mapping[str, str]
    ) -> Self:
        """Upgrade a connection that nothing was asked on yet; raises RefusedError for a no."""
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = {
            **headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": protocol,
        }
        connection.request("GET", path, headers=upgrade)
        answer = connection.getresponse()
        if answer.status != SWITCHING:
            raise RefusedError(answer.status, answer.read(MOST_BYTES).decode("utf-8", "replace"))
        expected = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        if answer.headers["Sec-WebSocket-Accept"] != expected:
            raise HTTPException("what answers is no WebSocket: its key is another")
        if answer.headers["Sec-WebSocket-Protocol"] != protocol:
            raise HTTPException(f"the WebSocket does not speak {protocol}")
        return cls(connection, answer)

    def send(self, message: bytes) -> None:
        """Send one message."""
        self._write(BINARY, message)

    def messages(self) -> Iterator[bytes]:
        """Yield what comes, until the other side closes."""
        message = b""
        while True:
            final, opcode, payload = self._frame()
            if opcode == CLOSE:
                self._reply(CLOSE, payload[:2])
                return
            if opcode == PING:
                self._reply(PONG, payload)
            elif opcode in (CONTINUATION, TEXT, BINARY):
                message += payload
                if len(message) > MOST_BYTES:
                    raise HTTPException(f"a message has more than {MOST_BYTES} bytes")
                if final:
                    yield message
                    message = b""

    def _reply(self, opcode: int, payload: bytes) -> None:
        """Answer, where somebody is still there: what was sent before is read all the same."""
        with suppress(OSError):
            self._write(opcode, payload)

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._read(2)
        length = second & ~MASKED
        if length == SHORT:
            [length] = struct.unpack("!H", self._read(2))
        elif length == LONG:
            [length] = struct.unpack("!Q", self._read(8))
        if second & MASKED or length > MOST_BYTES:
            raise HTTPException("a frame is masked, or too long, as no server sends one")
        return bool(first & FINAL), first & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        read = self._reader.read(count)
        if len(read) < count:
            raise ConnectionResetError("the connection was cut off")
        return read

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes([FINAL | opcode])
        if size <= MOST_SHORT:
            head += bytes([MASKED | size])
        elif size <= MOST_LONG:
            head += struct.pack("!BH", MASKED | SHORT, size)
        else:
            head += struct.pack("!BQ", MASKED | LONG, size)
        mask = os.urandom(4)
        self._connection.sock.sendall(head + mask + masked(payload, mask))


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return bytes with the four of a mask laid over them, again and again."""
    size = len(payload)
    whole = (mask * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(whole, "little")
    return mixed.to_bytes(size, "little")
