"""The pieces of a JSON list, as they arrive → chunks of whole elements, none of them read here.

Only brackets, commas and quotes are looked at, of all bytes of a piece at once: what is between two
commas outside of any bracket but the first is an element, whatever it says.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from api.errors import MalformedBodyError

QUOTE, BACKSLASH, COMMA = b'"\\,'
OPENING, CLOSING = b"[{", b"]}"
BLANK = b" \t\r\n"


class JsonCutter:
    """Cuts a list after its bracket has been taken away."""

    def __init__(self, *, chunk_bytes: int, row_bytes: int, most_rows: int) -> None:
        """Cut chunks of about `chunk_bytes` and at most `most_rows` elements.

        An element longer than `row_bytes` is an error.
        """
        self._chunk_bytes, self._row_bytes, self._most_rows = chunk_bytes, row_bytes, most_rows
        self._parts: list[bytes] = []
        self._size = self._rows = 0
        self._first = 1
        self._depth = 0  # of brackets within the list
        self._quoted = self._escaped = False
        self._ended = False

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a piece; yield the number of its first element and each chunk that is whole by now.

        Raises MalformedBodyError.
        """
        if self._ended:
            check_blank(piece)
            return
        commas, end = self._marks(piece)
        start = 0
        for comma in commas.tolist():
            self._rows += 1
            if self._rows >= self._most_rows or self._size + comma - start >= self._chunk_bytes:
                self._parts.append(piece[start:comma])
                yield self._chunk()
                start = comma + 1
        rest = piece[start : len(piece) if end is None else end]
        self._parts.append(rest)
        self._size += len(rest)
        if end is not None:
            self._ended = True
            check_blank(piece[end + 1 :])
        elif self._size > self._row_bytes + self._chunk_bytes:
            raise MalformedBodyError(
                f"The body is not JSON that can be read: row {self._first + self._rows} is longer "
                f"than {self._row_bytes} bytes."
            )

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is left when the body has ended; raises MalformedBodyError."""
        if not self._ended:
            raise MalformedBodyError("The body is not JSON: its list does not end.")
        first, chunk = self._chunk()
        if chunk.strip(BLANK):
            yield first, chunk
        elif first > 1:
            raise MalformedBodyError("The body is not JSON: its list ends with a comma.")

    def _chunk(self) -> tuple[int, bytes]:
        first, chunk = self._first, b"".join(self._parts)
        self._first += self._rows
        self._parts, self._size, self._rows = [], 0, 0
        return first, chunk

    def _marks(self, piece: bytes) -> tuple[NDArray[np.int64], int | None]:
        """Return where elements end within a piece, and where the list does."""
        text = np.frombuffer(piece, dtype=np.uint8)
        outside = self._outside(text)
        opening, closing = (
            ((text == pair[0]) | (text == pair[1])) & outside for pair in (OPENING, CLOSING)
        )
        depth = np.cumsum(opening.astype(np.int32) - closing, dtype=np.int32) + self._depth
        if len(text):
            self._depth = int(depth[-1])
        commas = np.flatnonzero((text == COMMA) & outside & (depth == 0))
        ends = np.flatnonzero(depth < 0)
        if not len(ends):
            return commas, None
        end = int(ends[0])
        if piece[end : end + 1] != b"]":
            raise MalformedBodyError("The body is not JSON: its list ends with another bracket.")
        return commas[commas < end], end

    def _outside(self, text: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which characters are in no string."""
        quotes = text == QUOTE
        if self._escaped or (text == BACKSLASH).any():
            quotes &= ~self._after_backslash(text)
        inside = (np.cumsum(quotes, dtype=np.uint8) & 1).astype(np.bool_) ^ self._quoted
        if len(text):
            self._quoted = bool(inside[-1])
        return ~inside

    def _after_backslash(self, text: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which characters follow an odd number of backslashes."""
        padded = np.concatenate(([self._escaped], text == BACKSLASH))
        places = np.arange(len(padded))
        last_other = np.maximum.accumulate(np.where(padded, -1, places))
        odd = padded & ((places - last_other) % 2 == 1)
        self._escaped = bool(odd[-1])
        found: NDArray[np.bool_] = odd[:-1]
        return found


def begins_list(head: bytes) -> bytes | None:
    """Return what comes after the bracket of a list; None where the text is none.

    `head` is the beginning of a body, with more than blanks in it.
    """
    text = head.lstrip(BLANK)
    return text[1:] if text[:1] == b"[" else None


def check_blank(text: bytes) -> None:
    """Raise MalformedBodyError where something comes after the end of a list."""
    if text.strip(BLANK):
        raise MalformedBodyError("The body is not JSON: something comes after its list.")
