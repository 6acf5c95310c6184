"""One watcher over all places that models come from: what changed is served with the next request.

Each worker holds what is served in memory, and the disk is the truth. Beside the requests, the
watcher looks at each source in turns of its own. A change that another process makes advances a
count that all processes share. A request that sees another count than the last look looks at its
own model first, and waits only where that one has changed.

The count is a file of eight bytes, mapped into the memory of every worker of every replica on the
machine: to read it takes no system call, so that even the path of single predictions may.
"""

import asyncio
import fcntl
import logging
import mmap
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from api.background import beside
from treeline.contract.texts import is_slug

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
            status = os.fstat(file)
            place = (status.st_dev, status.st_ino)
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


Marks = tuple[tuple[str, int, int, int], ...]


def marks_of(paths: Iterable[Path]) -> Marks:
    """Return what changes when one of the files does: its path, time, size and inode."""
    marks = []
    for path in paths:
        with suppress(OSError):  # it is not there, or went between two looks at it
            status = path.stat()
            marks.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)


LOOK_SECONDS = 0.25  # between two looks at the counts, so that requests seldom have to wait
WHOLE_SECONDS = 1.0  # between two looks at everything: for what was changed by hand, or elsewhere
READY_SECONDS = 1.0  # for which those wait who ask whether the service is ready

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where models come from, and what this process holds of it."""

    pause_seconds: float
    """Between two looks beside the requests; 0 where there are none."""

    def due(self) -> bool:
        """Tell, beside the requests and in a thread, whether to look before WHOLE_SECONDS end."""

    def current(self) -> bool:
        """Tell whether a request need not look at it first."""

    def holds(self, name: str) -> bool:
        """Tell whether one model is here as it is in the source."""

    def look_at(self, name: str) -> None:
        """Bring one model up to date, in a thread."""

    def look(self) -> None:
        """Bring every model up to date, in a thread."""


class Watcher:
    """Keeps what a process serves equal to the sources that it has."""

    def __init__(self, unloading: Source, uploads: Source, *others: Source) -> None:
        """Look at nothing before it runs.

        Any model may be unloaded; `uploads` gives some of those that run apart.
        """
        self._unloading, self._uploads = unloading, uploads
        self._sources: Sequence[Source] = (unloading, uploads, *others)
        self._looks: dict[tuple[int, str | None], asyncio.Task[None]] = {}
        self._failing: set[int] = set()
        self._last_looks: dict[int, float] = {}

    def current(self, *, apart: bool) -> bool:
        """Tell whether a model may answer at once; it costs a prediction next to nothing."""
        return self._unloading.current() and (not apart or self._uploads.current())

    async def model(self, name: str) -> None:
        """Return as soon as a model is as the last change left it."""
        if not is_slug(name):
            return
        for source in self._sources:
            if not source.current() and not source.holds(name):
                await self._look(source, name)

    async def everything(self) -> None:
        """Return as soon as all models are as the last change left them."""
        for source in self._sources:
            if not source.current():
                await self._look(source, None)

    async def soon(self) -> None:
        """Do the same, and give up in time for whoever must know whether the service is alive."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self.everything()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look beside the requests: now, as much may have changed meanwhile, and on."""
        watched = [source for source in self._sources if source.pause_seconds > 0]
        for source in watched:
            await self._watch_once(source)
        try:
            async with beside(*map(self._watch, watched)):
                yield
        finally:  # a look that has begun ends before what it needs does
            await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _watch(self, source: Source) -> None:
        while True:
            await asyncio.sleep(source.pause_seconds)
            await self._watch_once(source)

    async def _watch_once(self, source: Source) -> None:
        due = await asyncio.to_thread(source.due)
        last = self._last_looks.get(id(source), -WHOLE_SECONDS)
        if due or time.monotonic() - last >= WHOLE_SECONDS:
            self._last_looks[id(source)] = time.monotonic()
            await self._look(source, None)

    async def _look(self, source: Source, name: str | None) -> None:
        """Look in a thread; requests for the same model share a look that begins after them."""
        key = (id(source), name)
        for _ in range(2):  # one that is under way may have begun before the change
            if (task := self._looks.get(key)) is not None:
                await asyncio.shield(task)
                continue
            call = source.look if name is None else partial(source.look_at, name)
            task = self._looks[key] = asyncio.create_task(self._try(source, call))
            task.add_done_callback(lambda _: self._looks.pop(key))
            await asyncio.shield(task)
            return

    async def _try(self, source: Source, look: Callable[[], None]) -> None:
        """Look; a source that cannot be read now may be later, and what is loaded is served on."""
        try:
            await asyncio.to_thread(look)
            self._failing.discard(id(source))
        except Exception:
            if id(source) not in self._failing:  # once, not four times a second
                logger.exception("%s could not be looked through", source)
            self._failing.add(id(source))
