"""What a service takes while it works: memory of all its processes, and its event loop's time."""

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.fuzz.sending import HOST

LOOK_SECONDS = 0.01
RENEW_SECONDS = 0.05
PROBE_SECONDS = 0.004
PROBE_TIMEOUT = 60.0
LEAST_HOLD_SECONDS = 0.005  # below, the correction for a busy machine is not worth its reading
TICKS = os.sysconf("SC_CLK_TCK")
PROBE = f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
KINDS = (b"RssAnon:", b"RssShmem:")  # what is mapped from files can be dropped by the kernel


def descendants(root: int) -> list[int]:
    """Return the processes below one, with itself."""
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            with suppress(OSError, ValueError):
                waiting += map(int, children.read_text().split())
    return found


def children(process: int) -> list[int]:
    """Return the direct children of a process that have not ended."""
    return [each for each in descendants(process) if each != process and parent(each) == process]


def parent(process: int) -> int:
    """Return the parent of a process, 0 when it has ended, though nobody has waited for it yet."""
    try:
        state, number = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state in "ZX" else int(number)


class Memory:
    """Reads what a process and all below it hold: often, so with files that stay open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._files: dict[int, int] = {}
        self._renewed = 0.0

    def held_bytes(self) -> int:
        """Return the anonymous and shared memory of all processes."""
        if time.monotonic() - self._renewed > RENEW_SECONDS:
            self._renew()
        return sum(map(held_by, list(self._files.values())))

    def close(self) -> None:
        """Close all files."""
        for process in list(self._files):
            os.close(self._files.pop(process))

    def _renew(self) -> None:
        there = descendants(self._root)
        for process in self._files.keys() - set(there):
            os.close(self._files.pop(process))
        for process in set(there) - self._files.keys():
            with suppress(OSError):
                self._files[process] = os.open(f"/proc/{process}/status", os.O_RDONLY)
        self._renewed = time.monotonic()


def held_by(status: int) -> int:
    """Return what a process holds for itself, 0 when it has ended."""
    try:
        lines = os.pread(status, 4096, 0).splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(KINDS))


def worked_seconds(root: int) -> float:
    """Return what processors have worked for a process and all below it, ended ones too."""
    ticks = 0
    for process in descendants(root):
        with suppress(OSError):
            stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15]))
    return ticks / TICKS


def queues(process: int) -> dict[str, int]:
    """Return, by thread, for how many nanoseconds it was ready and no processor was free."""
    waited: dict[str, int] = {}
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError, IndexError):
            waited[str(thread)] = int(thread.read_text().split()[1])
    return waited


def queued_seconds(before: dict[str, int], after: dict[str, int]) -> float:
    """Return for how long a process waited: as long as that one of its threads that did most.

    Any thread counts: whichever has the interpreter may be the one that waits.
    """
    return max((after[each] - before.get(each, 0) for each in after), default=0) / 1e9


class Watch:
    """Two threads that look at a service: at its memory, and how soon its event loop answers.

    A second connection asks for /healthz again and again. Its slowest answer, less the time for
    which the machine had no processor for the loop or for who asks, is how long the loop was held.
    """

    def __init__(self, root: int, worker: int, port: int) -> None:
        self._memory, self._root = Memory(root), root
        self._worker, self._port = worker, port
        self._active, self._over = threading.Event(), threading.Event()
        self._probing, self._looking = threading.Lock(), threading.Lock()
        self.start_bytes = self.peak_bytes = 0
        self.hold_seconds = self.processor_seconds = self._worked = 0.0
        self._threads = [
            threading.Thread(target=each, daemon=True) for each in (self._look, self._probe)
        ]

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._active.set()
        for thread in self._threads:
            thread.join(PROBE_TIMEOUT)
        self._memory.close()

    def begin(self) -> None:
        """Forget what was, and watch."""
        with self._looking:
            self.start_bytes = self.peak_bytes = self._memory.held_bytes()
        self.hold_seconds = self.processor_seconds = 0.0
        self._worked = worked_seconds(self._root)
        self._active.set()

    def end(self) -> None:
        """Watch no more; return when the last probe has been answered."""
        self._active.clear()
        self.processor_seconds = worked_seconds(self._root) - self._worked
        with self._probing:
            pass

    @property
    def growth_bytes(self) -> int:
        """How much more than at the beginning was held at once."""
        return self.peak_bytes - self.start_bytes

    def _look(self) -> None:
        while not self._over.is_set():
            self._active.wait()
            with self._looking:
                self.peak_bytes = max(self.peak_bytes, self._memory.held_bytes())
            time.sleep(LOOK_SECONDS)

    def _probe(self) -> None:
        caller: socket.socket | None = None
        while not self._over.is_set():
            self._active.wait()
            with self._probing:
                try:
                    caller = caller or self._connected()
                    self.hold_seconds = max(self.hold_seconds, self._held(caller))
                except OSError:  # the worker ended or is stuck, which the oracle sees by itself
                    closed(caller)
                    caller = None
            time.sleep(PROBE_SECONDS)
        closed(caller)

    def _connected(self) -> socket.socket:
        return socket.create_connection((HOST, self._port), timeout=PROBE_TIMEOUT)

    def _held(self, caller: socket.socket) -> float:
        """Return how long an answer took, less what the machine owes to others."""
        processes = (self._worker, os.getpid())
        before = [queues(each) for each in processes]
        started = time.monotonic()
        caller.sendall(PROBE)
        if not caller.recv(4096):
            raise ConnectionResetError
        seconds = time.monotonic() - started
        if seconds < LEAST_HOLD_SECONDS:
            return seconds
        after = [queues(each) for each in processes]
        return max(0.0, seconds - sum(map(queued_seconds, before, after)))


def closed(caller: socket.socket | None) -> None:
    """Close a connection, if there is one."""
    if caller is not None:
        caller.close()
