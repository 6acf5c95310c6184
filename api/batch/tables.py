"""Tables that are read part by part: where each is, and how far it has been read.

Parts are mostly asked for in their order, and then read on from where the last one ended.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from weakref import finalize

from api.batch.arrow_lengths import Source
from api.batch.jobs import Payload
from api.batch.rows import Rows

MOST_OPEN = 8  # at once in one process; what is read of one more begins anew


@dataclass(frozen=True)
class Table:
    """A body that is read in parts, and what reading it may take.

    It is in `payload`, or else in the file at `path`; as long as there is that file, somebody waits
    for the rows. Parts have at most `part_rows` rows, the whole table `most_rows`.
    """

    kind: str
    path: str
    payload: Payload
    part_rows: int
    most_rows: int
    memory_bytes: int

    def source(self) -> Source:
        """Return the bytes."""
        return InMemory(self.payload) if self.payload else InFile(self.path)


class InMemory:
    """A body in memory."""

    def __init__(self, payload: Payload) -> None:
        self._payload, self.size = payload, len(payload)

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end."""
        return bytes(self._payload[place : place + length])


class InFile:
    """A body in a file."""

    def __init__(self, path: str) -> None:
        """Open a file; raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end."""
        return os.pread(self._descriptor, length, place)


class Reading:
    """Rows of one table, and how many parts have been read."""

    def __init__(self, parts: Iterator[Rows]) -> None:
        self._parts, self.done = parts, 0

    def part(self, number: int) -> Rows | None:
        """Return the rows of a part, None past the end."""
        while self.done < number:
            next(self._parts, None)
            self.done += 1
        self.done += 1
        return next(self._parts, None)


READINGS: dict[str, Reading] = {}


def read(path: str, number: int, parts: Callable[[], Iterator[Rows]]) -> Rows | None:
    """Return the rows of one part of a table, None past its end; raises what reading it raises."""
    for other in [each for each in READINGS if not Path(each).exists()]:
        del READINGS[other]
    reading = READINGS.pop(path, None)
    if reading is None or reading.done > number:
        reading = Reading(parts())
    try:
        found = reading.part(number)
    except MemoryError:
        if not READINGS:
            raise
        READINGS.clear()  # what others hold here is read again
        reading = Reading(parts())
        found = reading.part(number)
    if found is not None:
        while len(READINGS) >= MOST_OPEN:
            READINGS.pop(next(iter(READINGS)))
        READINGS[path] = reading
    return found
