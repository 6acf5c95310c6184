"""A count of changes that all processes share, so that each knows at once that it must look again.

A file of eight bytes, mapped into the memory of every worker of every replica on the machine: to
read the count takes no system call, so that even the path of single predictions may.
"""

import fcntl
import mmap
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BYTES = 8
NEVER = -1  # the count of who has not looked yet: no file has it


class Generation:
    """The count in one file."""

    def __init__(self, path: Path) -> None:
        """Read 0 until `follow` is called."""
        self._path = path
        self._place: tuple[int, int] | None = None
        self._mapped = memoryview(bytes(BYTES)).cast("Q")

    def count(self) -> int:
        """Return how often something changed; it differs after every change."""
        return self._mapped[0]

    def follow(self) -> None:
        """Map the file, which is made where it is absent, and again where it was replaced.

        Where it can be neither made nor read, nothing can be changed from here either.
        """
        with suppress(OSError), self._open() as file:
            found = os.fstat(file)
            place = (found.st_dev, found.st_ino)
            if place != self._place:
                mapped = mmap.mmap(file, BYTES, prot=mmap.PROT_READ)
                self._mapped = memoryview(mapped).cast("Q")
                self._place = place

    def advance(self) -> None:
        """Tell every process that something has changed; raises OSError."""
        with self._open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _write(file, _read(file) + 1)

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Yield the file with a count in it; one that is new begins where no other one was."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size < BYTES:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file).st_size < BYTES:
                    _write(file, time.time_ns())
                fcntl.flock(file, fcntl.LOCK_UN)
            yield file
        finally:
            os.close(file)


def _read(file: int) -> int:
    return memoryview(os.pread(file, BYTES, 0)).cast("Q")[0]


def _write(file: int, count: int) -> None:
    os.pwrite(file, count.to_bytes(BYTES, sys.byteorder), 0)
