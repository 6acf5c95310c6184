"""A request's body → its pieces within the limits, and the header of a CSV."""

from collections.abc import AsyncIterator, Mapping

from api.batch.csv_records import lines
from api.batch.rows import most_columns
from api.errors import BodyTooLargeError, MalformedBodyError
from treeline.contract.features import Feature

PIECE_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"
NAME_BYTES = 256  # of a column that the model has not, beside its own
BLANK = b" \t\r\n"


def header_bytes(features: Mapping[str, Feature]) -> int:
    """Return how long the first line of a CSV may be: with names in quotes, and some too many."""
    own = sum(2 * len(name.encode()) for name in features)
    return own + most_columns(features) * NAME_BYTES


def header(row: bytes) -> list[str]:
    """Return the names in the first line of CSV; raises MalformedBodyError."""
    try:
        text = row.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"line 1: is not UTF-8: {error.reason}") from error
    for _, names in lines(text, first=1):
        if isinstance(names, str):
            raise MalformedBodyError(f"line 1: {names}")
        return names
    raise MalformedBodyError("line 1: is empty; the first line names the columns.")


async def limited(
    body: AsyncIterator[bytes], most: int, *, whole: bool = False
) -> AsyncIterator[bytes]:
    """Yield the pieces of a body; raises BodyTooLargeError as soon as it is too large."""
    size = 0
    async for piece in body:
        size += len(piece)
        if size > most:
            raise too_large(most, whole=whole)
        yield piece


def too_large(most: int, *, whole: bool = False) -> BodyTooLargeError:
    """Return the error to raise for a body of more bytes."""
    if whole:
        return BodyTooLargeError(
            f"The body is larger than {most} bytes, which is the most that is read as one JSON; "
            "send JSON lines or CSV, or raise API_MAX_WHOLE_BYTES."
        )
    return BodyTooLargeError(
        f"The body is larger than {most} bytes; send fewer rows at a time, or raise "
        "API_MAX_BATCH_BYTES."
    )


async def gathered(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a body in larger pieces, as each is written by a call of its own."""
    pieces: list[bytes] = []
    size = 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


async def until_text(body: AsyncIterator[bytes]) -> bytes:
    """Return the beginning of a body, as far as the first piece with more than blanks in it."""
    async for piece in body:
        if text := piece.lstrip(BLANK):
            return text
    return b""
