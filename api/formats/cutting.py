"""The pieces of a body, as they arrive, become chunks of whole lines; and the header of a CSV."""

from collections.abc import AsyncIterator, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from api.errors import MalformedBodyError
from api.formats.csv import lines
from api.formats.rows import most_columns
from treeline.contract.features import Feature

QUOTE, NEWLINE = b'"', b"\n"
RETURN, BRACE = b"\r{"
BLANKS = np.isin(np.arange(256), np.frombuffer(b" \t\n\r\x0b\x0c", dtype=np.uint8))


class Cutter:
    """Cuts a text where a row ends; in CSV a newline between quotes ends none."""

    def __init__(self, *, chunk_bytes: int, row_bytes: int, most_rows: int, quoting: bool) -> None:
        """Cut chunks of about `chunk_bytes` and at most `most_rows` lines.

        A row longer than `row_bytes` is an error.
        """
        self._chunk_bytes, self._row_bytes, self._quoting = chunk_bytes, row_bytes, quoting
        self._most_rows = most_rows
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = chunk_bytes
        self._ends: NDArray[np.int64] | None = None  # of the rows of the chunk that is cut
        self.row = 1

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a piece; yield the number of its first row and each chunk that is whole by now."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size < self._wanted:
            return
        text = self._taken()
        start = 0
        while len(text) - start >= self._chunk_bytes:
            end = self._end(text, start)
            if not end:
                self._check(text[start:])
                break
            yield self._numbered(text[start:end])
            start = end
        self._keep(text[start:])

    def first_row(self, piece: bytes, *, most_bytes: int) -> bytes | None:
        """Take a piece; return the first row without its end, or None while it is not whole.

        A first row of more than `most_bytes` is an error.
        """
        text = self._taken() + piece
        end = self._row_end(text[: most_bytes + 1], 0)
        if not end and len(text) > most_bytes:
            raise MalformedBodyError(
                f"line 1: the header is longer than {most_bytes} bytes, and the names of the "
                "features take half of that at most; is a quote left open?"
            )
        if not end:
            self._keep(text)
            return None
        self._keep(text[end:])
        return text[:end].removesuffix(NEWLINE).removesuffix(b"\r")

    def last_row(self) -> bytes:
        """Return what is left as one row, when the body has ended within it."""
        return self._taken()

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is left when the body has ended."""
        self._wanted = 0
        yield from self.feed(b"")
        text, start = self._taken(), 0
        while start < len(text):
            end = self._end(text, start) or len(text)
            yield self._numbered(text[start:end])
            start = end

    def _end(self, text: bytes, start: int) -> int:
        """Return where the last row ends that fits a chunk, or else the first one that does not.

        0 where there is no end.
        """
        stop, self._ends = start + self._chunk_bytes, None
        simple = not self._quoting or text.find(QUOTE, start, stop) < 0
        if simple and newlines_in(text, start, stop) <= self._most_rows:
            end = text.rfind(NEWLINE, start, stop) + 1
        else:
            ends = self._row_ends(text[start:stop])[: self._most_rows]
            end = start + int(ends[-1]) if len(ends) else 0
            self._ends = ends if end else None
        return end or self._row_end(text, stop, quoted=text.count(QUOTE, start, stop) % 2 == 1)

    def _row_end(self, text: bytes, start: int, *, quoted: bool = False) -> int:
        """Return where the row ends that goes on at `start`, perhaps quoted; 0: not yet."""
        end = text.find(NEWLINE, start) + 1
        if not self._quoting or (not quoted and text.find(QUOTE, start, end or len(text)) < 0):
            return end
        ends = self._row_ends(text[start:], quoted=quoted)
        return start + int(ends[0]) if len(ends) else 0

    def _row_ends(self, text: bytes, *, quoted: bool = False) -> NDArray[np.int64]:
        """Return where rows end within a text that begins with one, or within quotes; at once."""
        chars = np.frombuffer(text, dtype=np.uint8)
        ends = chars == ord(NEWLINE)
        if self._quoting:
            ends &= np.bitwise_xor.accumulate((chars == ord(QUOTE)).view(np.uint8)) == quoted
        return np.flatnonzero(ends) + 1

    def _check(self, unfinished: bytes) -> None:
        if len(unfinished) > self._row_bytes + self._chunk_bytes:
            raise MalformedBodyError(
                f"row {self.row}: is longer than {self._row_bytes} bytes; is a quote left open?"
            )

    def _keep(self, text: bytes) -> None:
        self._pieces, self._size = [text], len(text)
        # A row longer than a chunk is looked at again only when there is as much again.
        self._wanted = max(self._chunk_bytes, 2 * len(text))

    def _taken(self) -> bytes:
        text = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return text

    def _numbered(self, chunk: bytes) -> tuple[int, bytes]:
        row = self.row
        self.row += self._rows(chunk)
        return row, chunk

    def _rows(self, chunk: bytes) -> int:
        """Return how many rows a chunk has: a blank line is none."""
        ends, self._ends = self._ends, None
        usual = self._usual_rows(chunk) if ends is None else None
        if usual is not None:
            return usual
        chars = np.frombuffer(chunk, dtype=np.uint8)
        ends = self._row_ends(chunk) if ends is None else ends
        if not len(ends) or ends[-1] < len(chars):
            ends = np.append(ends, len(chars) + 1)  # the last row ends with the body
        starts = np.concatenate(([0], ends[:-1]))
        if not self._quoting:
            return int(np.logical_or.reduceat(~BLANKS[chars], starts).sum())
        lengths = ends - starts - 1
        blank = lengths == 0
        blank |= (lengths == 1) & (chars[starts] == RETURN)
        return len(starts) - int(blank.sum())

    def _usual_rows(self, chunk: bytes) -> int | None:
        """Return how many rows a chunk has where none needs a second look, else None.

        In CSV no line is blank or has a quote, in JSON lines each one begins an object.
        """
        chars = np.frombuffer(chunk, dtype=np.uint8)
        newlines = chars == NEWLINE[0]
        count = int(np.count_nonzero(newlines)) + (not chunk.endswith(NEWLINE))
        ended, following = newlines[:-1], chars[1:]
        if not self._quoting:
            begun = np.count_nonzero(ended & (following == BRACE)) + chunk.startswith(b"{")
            return count if begun == count else None
        blank = chunk[:1] in (b"\r", NEWLINE) or (ended & newlines[1:]).any()
        if RETURN in chunk:
            blank = blank or (ended & (following == RETURN)).any()
        return None if blank or QUOTE in chunk else count


def newlines_in(text: bytes, start: int, stop: int) -> int:
    """Return how many newlines there are between two places, ten times as fast as `bytes.count`."""
    chars = np.frombuffer(text, dtype=np.uint8)[start:stop]
    return int(np.count_nonzero(chars == NEWLINE[0]))


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
