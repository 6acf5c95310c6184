"""A request → its body in memory, inflated where it came compressed, never beyond its limit."""

import asyncio
import zlib

from starlette.requests import Request

from api.bodies import Bodies, Limit
from api.errors import MalformedBodyError, UnsupportedMediaTypeError

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
        found = inflating.decompress(body, most)
    except zlib.error as error:
        raise MalformedBodyError(f"The body cannot be inflated: {error}") from error
    if len(found) < most and (not inflating.eof or inflating.unused_data):
        raise MalformedBodyError("The compressed body does not end where the request does.")
    return found
