"""Connections → requests, within limits that uvicorn does not have: heads, their time, pipelines.

gunicorn runs `LimitedWorker` (see initializer.sh), and its own options `--limit-request-line`,
`--limit-request-fields` and `--limit-request-field_size` say how large a head may be. A request of
usual size costs some comparisons; connections that do not say what they want are looked at once a
second, all together.
"""

import asyncio
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn_worker import UvicornWorker

HEAD_BYTES = 64 << 10  # of all fields together
HEAD_SECONDS = 10  # for a head to be whole, as at the balancer
LOOK_SECONDS = 1.0
LINGER_SECONDS = 1.0  # in which a caller that sends on can read why that is in vain
SLICE_BYTES = 16 << 10  # that are parsed before the limits are looked at again
MOST_PIPELINED = 16  # requests that wait for the answer to a former one of their connection


class HeadError(Exception):
    """A head is beyond a limit."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection; `line_bytes`, `fields` and `field_bytes` are the limits of each head."""

    line_bytes, fields, field_bytes = 4094, 100, 8190
    _looked_at: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
    _refused: tuple[int, str] | None = None
    _in_head, _done = True, False
    _head_bytes = _new_bytes = _looks = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let somebody look at how long connections take to say what they want."""
        super().connection_made(transport)
        if self.loop not in self._looked_at:
            self._looked_at.add(self.loop)
            self.loop.call_later(LOOK_SECONDS, self._look_at_all)

    def data_received(self, data: bytes) -> None:
        """Parse what came, no more at a time than what a usual head has."""
        if self._done:
            return
        if len(data) <= SLICE_BYTES:
            self._parse(data)
            return
        for start in range(0, len(data), SLICE_BYTES):
            if self._done or self.transport.is_closing():
                return
            self._parse(data[start : start + SLICE_BYTES])

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._looks = True, 0, 0

    def on_headers_complete(self) -> None:
        """End a head; raises HeadError for one that is beyond a limit, before anybody reads it."""
        self._check_head()
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or was refused, and close."""
        if self._done or self.transport.is_closing():
            return
        self._done = True
        status, text = self._refused or (400, msg)
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(text)
        self.transport.write(b"".join([STATUS_LINE[status], head, length, text.encode()]))
        # To close at once, with something unread, would take the answer back from the caller.
        self.loop.call_later(0 if self.pipeline else LINGER_SECONDS, self.transport.close)

    def look(self) -> None:
        """Close a connection that has begun no request, or a head that is not whole in time."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self.timeout_keep_alive_task is not None or self.transport.is_closing():
            return
        self._looks += 1
        if self._looks * LOOK_SECONDS <= HEAD_SECONDS:
            return
        if self._head_bytes:
            self._refused = (408, "The head of the request did not come in time.")
            self.send_400_response("")
        else:
            self.transport.close()

    def _look_at_all(self) -> None:
        look_at(self.connections)
        if self.connections:
            self.loop.call_later(LOOK_SECONDS, self._look_at_all)
        else:
            self._looked_at.discard(self.loop)

    def _parse(self, data: bytes) -> None:
        self._new_bytes = len(data)
        super().data_received(data)
        if self._done:
            return
        if self._in_head:
            self._head_bytes += len(data)
            self._new_bytes = 0
            try:
                self._check_head()
            except HeadError:
                self.send_400_response("")
        elif len(self.headers) > self.fields:
            self.transport.close()  # fields behind the body, of which nobody wants any

    def _check_head(self) -> None:
        """Refuse a head that is beyond a limit, whether it is whole or not; raises HeadError."""
        length = self._head_bytes + self._new_bytes
        if length > self.field_bytes:
            self._check_lengths(length)
        if self.headers is not None and len(self.headers) > self.fields:
            self._refuse(431, f"There are more than {self.fields} header fields.")
        if len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(429, "Too many requests wait for the answer to a former one.")
        if self.headers is not None and len(self.url) > self.line_bytes:
            self._refuse(414, f"The address is longer than {self.line_bytes} bytes.")

    def _check_lengths(self, length: int) -> None:
        if self.headers is not None and len(self.url) > self.line_bytes:
            self._refuse(414, f"The address is longer than {self.line_bytes} bytes.")
        sizes = [len(name) + len(value) for name, value in self.headers or ()]
        if max(sizes, default=0) > self.field_bytes:
            self._refuse(431, f"A header field is longer than {self.field_bytes} bytes.")
        if self._head_bytes > HEAD_BYTES or sum(sizes) > HEAD_BYTES:
            self._refuse(431, f"The header fields are longer than {HEAD_BYTES} bytes.")

    def _refuse(self, status: int, text: str) -> None:
        self._refused = (status, text)
        raise HeadError(text)


def look_at(connections: Iterable[Any]) -> None:
    """Look at all connections of a server; those with web sockets are none of ours."""
    for each in list(connections):
        if isinstance(each, LimitedProtocol):
            each.look()


class LimitedWorker(UvicornWorker):  # type: ignore[misc]  # which has no types
    """A worker of gunicorn whose connections have limits; it speaks no web sockets."""

    CONFIG_KWARGS = {"loop": "auto", "http": LimitedProtocol, "ws": "none"}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        LimitedProtocol.line_bytes = self.cfg.limit_request_line
        LimitedProtocol.fields = self.cfg.limit_request_fields
        LimitedProtocol.field_bytes = self.cfg.limit_request_field_size
