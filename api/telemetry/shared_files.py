"""The files in which the counts of all workers meet: none is written where the disk has no room.

prometheus_client maps files that are longer than what the disk has given them. On a full disk the
first count that falls into such a place ends the process with SIGBUS. Here room is reserved before
it is mapped; where there is none, a worker counts in its own memory, predictions go on, and its
counts go to the file when there is room again.
"""

import logging
import mmap
import os
from pathlib import Path
from typing import Any
from weakref import WeakSet

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

INITIAL_BYTES = 1 << 16
ENTRY_BYTES = 4 + 8 + 16  # beside its key: the length of the key, padding, value and time

logger = logging.getLogger(__name__)


class SharedFile(MmapedDict):
    """A dict of numbers in a file, or in memory as long as the disk has no room for the file."""

    in_memory: "WeakSet[SharedFile]" = WeakSet()

    _f: Any
    _m: mmap.mmap
    _capacity: int
    _used: int
    _positions: dict[str, int]

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        """Open or make the file."""
        self._fname = filename
        try:
            if not read_mode:
                reserve(Path(filename))
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
        except OSError as error:
            if read_mode:
                raise
            self._f, self._positions, self._used = None, {}, 8
            self._capacity = INITIAL_BYTES
            self._go_on_in_memory(error, before=b"\x08")

    def restore(self) -> None:
        """Put what is in memory into the file; raises OSError where there is still no room."""
        path = Path(self._fname)
        reserve(path, self._capacity)
        file = path.open("r+b")
        shared = mmap.mmap(file.fileno(), self._capacity)
        shared[8 : self._used] = self._m[8 : self._used]
        shared[:4] = self._m[:4]
        self._m, self._f = shared, file
        self.in_memory.discard(self)

    def _init_value(self, key: str) -> None:
        """Make room for a key, and enter it; called with the lock of prometheus_client held."""
        while self._used + len(key.encode()) + ENTRY_BYTES > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self) -> None:
        before = bytes(self._m[: self._used])
        self._capacity *= 2
        if self._f is not None:
            try:
                os.posix_fallocate(self._f.fileno(), 0, self._capacity)
                self._m = mmap.mmap(self._f.fileno(), self._capacity)
                return
            except OSError as error:
                self._f.close()
                self._f = None
                self._go_on_in_memory(error, before=before)
                return
        self._m = mmap.mmap(-1, self._capacity)
        self._m[: len(before)] = before

    def _go_on_in_memory(self, error: OSError, *, before: bytes) -> None:
        self._m = mmap.mmap(-1, self._capacity)
        self._m[: len(before)] = before
        self.in_memory.add(self)
        logger.error(
            "The metrics of this process are not seen by others (%s): make room where %s is",
            *(error.strerror, self._fname),
        )


def reserve(path: Path, size: int = INITIAL_BYTES) -> None:
    """Give a file so many bytes that the disk has; raises OSError, and leaves no new file."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    new = os.fstat(descriptor).st_size == 0
    try:
        os.posix_fallocate(descriptor, 0, max(size, os.fstat(descriptor).st_size))
    except OSError:
        if new:  # a file without content is one that no reader understands
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def install() -> None:
    """Let prometheus_client keep its counts in such files."""
    values.MmapedDict = SharedFile  # type: ignore[attr-defined]


def restore() -> None:
    """Put what processes had to count in memory into their files, where there is room now."""
    for each in list(SharedFile.in_memory):
        try:
            each.restore()
        except OSError:
            return
        logger.warning("The metrics of this process are seen again, in %s", each._fname)
