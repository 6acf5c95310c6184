"""The one reader of bodies: within a limit, a budget and a deadline.

A body that comes in one message costs a look at its length. One that comes piece by piece holds no
slot of `API_MAX_REQUESTS` meanwhile, is counted against what all connections of the worker may
hold in memory, and must keep coming. A compressed body is inflated within the same limit.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Self

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from api.errors import (
    BodiesFullError,
    BodyTooLargeError,
    CallerGoneError,
    MalformedBodyError,
    UnsupportedMediaTypeError,
)
from api.http.deadlines import Deadlines
from api.http.load import Load
from api.settings import Settings

DOCUMENT_BYTES = 64 << 10  # of a small document, such as a description: milliseconds of reading
FORM_PIECE_BYTES = 8 << 10  # of a form, which is read byte by byte where it is meant to be slow
DIGITS = 20  # of a length; to read a million of them takes long
PAUSE_SECONDS = 2
HELD = "treeline.body_bytes"  # where in a scope it is noted what its body holds in memory


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a body may be, the setting that says so, and what to do about a longer one."""

    most: int
    setting: str = "API_MAX_BODY_BYTES"
    advice: str = "send less"

    @classmethod
    def of_batches(cls, settings: Settings) -> Self:
        """Return the limit of a table, whatever its format."""
        return cls(settings.max_batch_bytes, "API_MAX_BATCH_BYTES", "send fewer rows at a time")

    @classmethod
    def of_whole_tables(cls, settings: Settings) -> Self:
        """Return the limit of a table that is read as one JSON document."""
        return cls(settings.max_whole_bytes, "API_MAX_WHOLE_BYTES", "send JSON lines or CSV")

    def error(self) -> BodyTooLargeError:
        """Return the error for a body that is longer."""
        return BodyTooLargeError(
            f"The body is larger than {self.most} bytes; {self.advice}, or raise {self.setting}."
        )

    async def within(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces of a body; raises BodyTooLargeError as soon as it is too large."""
        length = 0
        async for piece in body:
            length += len(piece)
            if length > self.most:
                raise self.error()
            yield piece

    def check_length(self, scope: Scope) -> None:
        """Raise BodyTooLargeError for a body that says itself that it is too long."""
        for name, value in scope["headers"]:
            if name == b"content-length":
                self.check(value)

    def check(self, length: bytes) -> None:
        """Raise BodyTooLargeError for a Content-Length that is too long."""
        if length.isdigit() and int(length[:DIGITS]) > self.most:
            raise self.error()


class Bodies:
    """Reads the bodies of all requests of a worker, and knows what they hold in memory."""

    def __init__(self, settings: Settings, load: Load) -> None:
        self.load = load
        self.records = Limit(settings.max_body_bytes)
        self.tensors = Limit(settings.max_whole_bytes, setting="API_MAX_WHOLE_BYTES")
        self._most_held = settings.bodies_bytes
        self._seconds = settings.body_seconds
        self._rate = settings.body_bytes_per_second
        self._deadlines = Deadlines()
        self.held = 0

    async def record(
        self, scope: Scope, receive: Receive, limit: Limit | None = None, *, began: float
    ) -> bytes:
        """Return a body whose request has no slot yet and began at `began` of `perf_counter`.

        Raises BodyTooLargeError, BodyLateError, BodiesFullError and CallerGoneError.
        """
        limit = limit or self.records
        message = await self._deadlines.within(receive, began + self._seconds)
        if message.get("more_body", False):
            left = began + self._seconds - perf_counter()
            return await self._rest(scope, receive, limit, message, left=left)
        body: bytes = message.get("body", b"")
        if len(body) > limit.most:
            raise limit.error()
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        return body

    async def whole(self, request: Request, limit: Limit) -> bytes:
        """Return a body; its request has no slot while it comes.

        Raises TooBusyError where no slot is left then, and what `record` raises.
        """
        limit.check_length(request.scope)
        with self.load.lent():
            return await self.record(request.scope, request.receive, limit, began=perf_counter())

    async def pieces(self, request: Request, limit: Limit) -> AsyncGenerator[bytes]:
        """Yield the pieces of a body that is never in memory as a whole.

        There are at most `API_MAX_STREAMS` of those. Raises what `whole` raises.
        """
        limit.check_length(request.scope)
        with self.load.streaming():
            async for message in self._messages(request.receive, limit):
                if piece := message.get("body", b""):
                    yield piece

    @contextmanager
    def form(self, request: Request, limit: Limit) -> Iterator[Request]:
        """Let a form be read from the request that is yielded, in pieces that take no time.

        Its reader fails with what `pieces` raises.
        """
        limit.check_length(request.scope)
        messages = self._messages(request.receive, limit)
        rest: Message | None = None

        async def receive() -> Message:
            nonlocal rest
            if rest is None:
                rest = await anext(messages)
            else:
                await asyncio.sleep(0)  # let others be answered between two pieces
            body, more = rest.get("body", b""), rest.get("more_body", False)
            piece, remainder = body[:FORM_PIECE_BYTES], body[FORM_PIECE_BYTES:]
            rest = {**rest, "body": remainder} if remainder else None
            return {"type": "http.request", "body": piece, "more_body": more or bool(remainder)}

        with self.load.streaming():
            yield Request(request.scope, receive)

    async def part(self, request: Request, limit: Limit) -> bytes:
        """Return the file of a form, whatever its name.

        Raises MalformedBodyError and what `pieces` raises.
        """
        with self.form(request, limit) as limited:
            try:
                form = await limited.form(max_files=1, max_fields=1)
            except MultiPartException as error:
                raise MalformedBodyError(f"The form cannot be read: {error.message}") from error
            try:
                file = file_in(form)
                self._hold(request.scope, file.size or 0)
                return await file.read()
            finally:
                await form.close()

    def release(self, scope: Scope) -> None:
        """Forget what the body of a request held; it has been answered."""
        self.held -= scope.pop(HELD, 0)

    async def _rest(
        self, scope: Scope, receive: Receive, limit: Limit, first: Message, *, left: float
    ) -> bytes:
        """Return a body of which the first message has come, `left` seconds before its end."""
        limit.check_length(scope)
        body = bytearray()
        async for message in self._messages(receive, limit, first, left=left):
            piece = message.get("body", b"")
            self._hold(scope, len(piece))
            body += piece
        return bytes(body)

    async def _messages(
        self,
        receive: Receive,
        limit: Limit,
        first: Message | None = None,
        *,
        left: float | None = None,
    ) -> AsyncIterator[Message]:
        """Yield all messages of a body; only the time in which none comes counts.

        Each byte prolongs the time that is left, so that a slow line may send much.
        """
        length, left = 0, self._seconds if left is None else left
        message = first
        while True:
            if message is None:
                began = perf_counter()
                message = await self._deadlines.within(receive, began + left)
                left -= perf_counter() - began
            if message["type"] == "http.disconnect":
                raise CallerGoneError
            length += len(message.get("body", b""))
            if length > limit.most:
                raise limit.error()
            left += len(message.get("body", b"")) / self._rate
            yield message
            if not message.get("more_body", False):
                return
            message = None

    def _hold(self, scope: Scope, length: int) -> None:
        """Count bytes that a request holds from now on; raises BodiesFullError."""
        if self.held + length > self._most_held:
            raise BodiesFullError(
                f"The bodies under way hold {self.held} bytes; send this one again in a moment. "
                "API_BODIES_BYTES is the limit of each worker process.",
                seconds=PAUSE_SECONDS,
            )
        self.held += length
        scope[HELD] = scope.get(HELD, 0) + length


def file_in(form: FormData) -> UploadFile:
    """Return the only file of a form, whatever its name; raises MalformedBodyError for none."""
    for _, part in form.multi_items():
        if isinstance(part, UploadFile):
            return part
    raise MalformedBodyError("The form has no file; send one, with curl as: -F file=@path/to/it")


PLAIN = frozenset({"", "identity"})
GZIP, ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS  # how zlib calls what HTTP calls gzip, deflate
WINDOWS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}


async def read_body(request: Request, bodies: Bodies, limit: Limit) -> bytes:
    """Read a body that is within its limit before and after inflating.

    Raises UnsupportedMediaTypeError, MalformedBodyError, and what reading raises.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in PLAIN and encoding not in WINDOWS:
        raise UnsupportedMediaTypeError(
            f"The Content-Encoding is {encoding[:40]!r}; send the body as it is, or as one of: "
            f"{', '.join(WINDOWS)}."
        )
    body = await bodies.whole(request, limit)
    if encoding in PLAIN:
        return body
    inflated = await asyncio.to_thread(_inflated, body, WINDOWS[encoding], limit.most + 1)
    if len(inflated) > limit.most:
        raise limit.error()
    return inflated


def _inflated(body: bytes, window: int, most: int) -> bytes:
    """Return what a compressed body holds, at most the first `most` bytes of it."""
    inflating = zlib.decompressobj(window)
    try:
        inflated = inflating.decompress(body, most)
    except zlib.error as error:
        raise MalformedBodyError(f"The body cannot be inflated: {error}") from error
    if len(inflated) < most and (not inflating.eof or inflating.unused_data):
        raise MalformedBodyError("The compressed body does not end where the request does.")
    return inflated
