"""A request → its body in memory, inflated where it came compressed, never beyond its limit."""

import asyncio
import zlib

from starlette.requests import ClientDisconnect, Request

from api.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError

PLAIN = frozenset({"", "identity"})
GZIP, ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS  # how zlib calls what HTTP calls gzip, deflate
WINDOWS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}


async def read_body(request: Request, *, limit: int, setting: str) -> bytes:
    """Read a body of at most `limit` bytes before and after inflating; `setting` says so.

    Raises BodyTooLargeError, UnsupportedMediaTypeError and MalformedBodyError.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in PLAIN and encoding not in WINDOWS:
        raise UnsupportedMediaTypeError(
            f"The Content-Encoding is {encoding[:40]!r}; send the body as it is, or as one of: "
            f"{', '.join(WINDOWS)}."
        )
    too_large = BodyTooLargeError(
        f"The body is larger than {limit} bytes; send less, or raise {setting}."
    )
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise too_large
    parts, length = [], 0
    try:
        async for part in request.stream():
            length += len(part)
            if length > limit:
                raise too_large
            parts.append(part)
    except ClientDisconnect as error:
        raise MalformedBodyError("The connection ended before the body did.") from error
    body = b"".join(parts)
    if encoding in PLAIN:
        return body
    inflated = await asyncio.to_thread(_inflated, body, WINDOWS[encoding], limit + 1)
    if len(inflated) > limit:
        raise too_large
    return inflated


def _inflated(body: bytes, window: int, most: int) -> bytes:
    """Return what a compressed body holds, at most the first `most` bytes of it."""
    inflating = zlib.decompressobj(window)
    try:
        found = inflating.decompress(body, most)
    except zlib.error as error:
        raise MalformedBodyError(f"The body cannot be inflated: {error}") from error
    if len(found) < most and (not inflating.eof or inflating.unused_data):
        raise MalformedBodyError("The compressed body does not end where the request does.")
    return found
