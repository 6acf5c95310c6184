"""Tasks and processes that run beside the requests.

A task ends with what it was started for. Of each kind of process there is one per state folder:
workers hold a file locked together, and such a process holds another one alone, so that each knows
whether the other lives, whoever dies. A worker starts the process when there is none; it ends by
itself.
"""

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines meanwhile; they are cancelled, and have ended, when this is left, however."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def again(step: Callable[[], None], *, seconds: float) -> None:
    """Take a step again and again, in a thread; after one that failed, the next is taken too."""
    failing = False
    while True:
        try:
            await asyncio.to_thread(step)
            failing = False
        except Exception:
            if not failing:  # once, not at each step
                logger.exception("%s failed, and goes on", step.__qualname__)
            failing = True
        await asyncio.sleep(seconds)


LONGEST_PAUSE_SECONDS = 60.0
END_SECONDS = 2.0
ATTEMPTS = 5  # a worker that looks whether there is a process holds its lock for an instant
ATTEMPT_SECONDS = 0.02

LEFT: list[subprocess.Popen[bytes]] = []
"""Processes that go on after what started them has ended; they are waited for when they have."""

logger = logging.getLogger(__name__)


class Lock:
    """A locked file; released by `release`, and by the end of the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    def shared(cls, path: Path) -> Self:
        """Lock together with others."""
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_SH)
        return cls(file)

    @classmethod
    def alone(cls, path: Path) -> Self | None:
        """Lock, or return None when somebody else has."""
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return cls(file)

    def release(self) -> None:
        """Let others lock it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock of a file."""
    try:
        lock = Lock.alone(path)
    except FileNotFoundError:  # the whole folder is gone, and with it who used it
        return False
    if lock is not None:
        lock.release()
    return lock is None


def become_the_one(path: Path) -> Lock | None:
    """Return the lock of the one process of its kind; None when there is one."""
    for _ in range(ATTEMPTS):
        if (lock := Lock.alone(path)) is not None:
            return lock
        time.sleep(ATTEMPT_SECONDS)
    return None


def lower_priority(niceness: int) -> None:
    """Let workers come first by so much of 19, and end by their word alone.

    A supervisor's signal is for all processes; one beside the workers ends when they are gone.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.nice(niceness)


class Keeper:
    """Starts the one process of a kind whenever there is none."""

    def __init__(
        self, module: str, *, name: str, environment: Mapping[str, str], runs: Callable[[], bool]
    ) -> None:
        """Start `python -m module`; `name` is for the log, `runs` tells whether there is one."""
        self._command = [sys.executable, "-m", module]
        self._name = name
        self._environment = dict(environment)
        self._runs = runs
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_seconds = 1.0
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._ended = False

    def look(self) -> None:
        """Start the process if none runs; after one that failed, only in a while."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            if status == 0:
                self._pause_seconds = 1.0
            else:
                self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
                self._not_before = time.monotonic() + self._pause_seconds
                logger.error("%s ended with status %d", self._name, status)
        if self._ended or time.monotonic() < self._not_before:
            return
        if not self._runs():
            # A session of its own: Ctrl-C must not end it before the workers are done.
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def end(self, *, kill: bool = False) -> None:
        """See our process end; called when no worker is left for whom it would go on.

        With `kill` it is made to, and what it has started too, if it does not in time. Without, it
        is left to what it is at.
        """
        process = self._taken()
        if process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return
        if kill:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            leave(process)

    def leave(self) -> None:
        """Start no process any more, and leave ours to the other workers."""
        process = self._taken()
        if process is not None:
            leave(process)

    def _taken(self) -> subprocess.Popen[bytes] | None:
        """Return our process, which is ours no more, and start no other one."""
        with self._lock:
            self._ended = True
            process, self._process = self._process, None
        return process


def leave(process: subprocess.Popen[bytes]) -> None:
    """Let a process go on, and wait for those of former times that have ended."""
    LEFT[:] = [each for each in (*LEFT, process) if each.poll() is None]
