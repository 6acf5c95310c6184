"""Texts of many rows as arrays of characters, joined to rows without a loop over them.

A column of texts is as wide as its longest one. Columns are written one after the other, each into
all rows at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

Integers = NDArray[np.int64]

WIDE_BYTES = 512  # of a row with the longest text in each column: few texts are as long as that
COMMA = ord(",")


@dataclass(frozen=True)
class Cells:
    """A column: its texts, each with room for the longest, void of shape (n_texts,).

    `lengths` of shape (n_texts,) says how many bytes each text has, None: all of them. There is one
    text for each row, unless `positions` of shape (n_rows,) says which one is whose; a column of
    one text and without positions has it in all rows.
    """

    texts: NDArray[np.void]
    lengths: Integers | None = None
    positions: NDArray[Any] | None = None

    @property
    def width(self) -> int:
        """Return how many bytes there is room for."""
        return self.texts.itemsize

    def is_constant(self) -> bool:
        """Tell whether all rows have the same text."""
        return len(self.texts) == 1 and self.lengths is None

    def row_lengths(self) -> Integers | int:
        """Return how many bytes the text of each row has."""
        if self.lengths is None:
            return self.width
        return self.lengths if self.positions is None else self.lengths[self.positions]

    def row_texts(self, count: int) -> list[bytes]:
        """Return the text of each row by itself."""
        lengths = [self.width] * len(self.texts) if self.lengths is None else self.lengths.tolist()
        texts = [text.tobytes()[:size] for text, size in zip(self.texts, lengths, strict=True)]
        if self.is_constant():
            return texts * count
        return texts if self.positions is None else [texts[at] for at in self.positions.tolist()]


def constant(text: bytes) -> Cells:
    """Return the same text for all rows; it is not empty."""
    return Cells(np.frombuffer(text, dtype=f"V{len(text)}"))


def listed(texts: Sequence[bytes]) -> Cells:
    """Return a text for each row, of which there is at least one."""
    width = max(1, *map(len, texts))
    padded = b"".join(each.ljust(width, b"\0") for each in texts)
    lengths = np.array([*map(len, texts)], dtype=np.int64)
    return Cells(np.frombuffer(padded, dtype=f"V{width}"), unless_equal(lengths, width))


def chosen(texts: Sequence[bytes], positions: NDArray[Any]) -> Cells:
    """Return for each row the text at its position; `positions` has shape (n_rows,)."""
    known = listed(texts)
    return known if known.is_constant() else Cells(known.texts, known.lengths, positions)


def numbered(numbers: NDArray[Any] | list[Any]) -> Cells:
    """Return the number of each row, as JSON writes it; there is at least one."""
    text = to_json(numbers if isinstance(numbers, list) else numbers.tolist())
    commas = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == COMMA)
    starts, ends = np.empty((2, len(commas) + 1), dtype=np.int64)
    starts[0], ends[-1] = 1, len(text) - 1
    np.add(commas, 1, out=starts[1:])
    ends[:-1] = commas
    lengths = ends - starts
    width = int(lengths.max())
    return Cells(windows(text + bytes(width), width)[starts], unless_equal(lengths, width))


def unless_equal(lengths: Integers, width: int) -> Integers | None:
    """Return lengths where not all of them are the width."""
    return lengths if (lengths != width).any() else None


@dataclass(frozen=True)
class Joined:
    """Texts of n_rows rows one behind the other; `ends` of shape (n_rows,) says where each ends."""

    text: bytes
    ends: Integers

    def between(self, first: int, stop: int) -> bytes:
        """Return the texts of some rows."""
        start = int(self.ends[first - 1]) if first else 0
        return self.text[start : int(self.ends[stop - 1]) if stop else 0]


def joined(columns: Sequence[Cells], count: int) -> Joined:
    """Return rows of these columns, `count` of them."""
    lengths = [each.row_lengths() for each in columns]
    row_bytes = sum(lengths, np.zeros(count, dtype=np.int64))
    ends = np.cumsum(row_bytes, dtype=np.int64)
    if sum(each.width for each in columns) > WIDE_BYTES:
        rows = zip(*(each.row_texts(count) for each in columns), strict=True)
        return Joined(b"".join(map(b"".join, rows)), ends)
    size = int(ends[-1]) if count else 0
    chars = bytearray(size + WIDE_BYTES)
    starts = ends - row_bytes
    for each, taken in zip(columns, lengths, strict=True):
        texts = each.texts if each.positions is None else each.texts.take(each.positions)
        # What is behind the end of a text is written over by the columns that come after it.
        if (ends - starts >= each.width).all():
            windows(chars, each.width)[starts] = texts
        else:
            put_exactly(chars, starts, texts, taken)
        starts += taken
    return Joined(bytes(memoryview(chars)[:size]), ends)


def put_exactly(
    chars: bytearray, starts: Integers, texts: NDArray[np.void], lengths: Integers | int
) -> None:
    """Write each text from its start on, and nothing behind its end."""
    each_length = np.broadcast_to(np.asarray(lengths), starts.shape)
    for length in np.unique(each_length[each_length > 0]).tolist():
        rows = np.flatnonzero(each_length == length)
        short = texts.view(np.uint8).reshape(len(texts), -1)[rows, :length]
        windows(chars, length)[starts[rows]] = np.ascontiguousarray(short).view(f"V{length}")[:, 0]


def windows(chars: bytearray | bytes, width: int) -> NDArray[np.void]:
    """Return what stands from each byte on, so many bytes of it, as a view."""
    return np.ndarray((len(chars) - width,), dtype=f"V{width}", buffer=chars, strides=(1,))
