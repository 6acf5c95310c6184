"""One process beside a worker, as the worker has it: started, called, killed.

Its environment holds no keys and no URL.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from api.sandbox.limits import Limits
from api.sandbox.wire import (
    BEGUN,
    DOCUMENT_BYTES,
    ForgedError,
    Replies,
    call_of,
    exactly,
    receive,
    send,
)

TOP = Path(__file__).parents[2]
"""Where `python -m api.…` finds this package, installed or not."""
PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TZ")
# Address space that is reserved before the limit is set could be filled beyond it.
OWN = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve a gibibyte with their first byte
    "OPENBLAS_NUM_THREADS": "1",  # each thread reserves some for its stack
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def minimal() -> dict[str, str]:
    """Return that environment."""
    return OWN | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


CHILD = "api.sandbox.child"
START_SECONDS = 60.0  # on a machine that has much else to do


class LateError(Exception):
    """A call took longer than it may."""


class EndedError(Exception):
    """The process ended; `code` is its status, as `subprocess` has it.

    `begun` tells whether it had begun with the call, so that this may be the reason.
    """

    def __init__(self, code: int, *, begun: bool) -> None:
        super().__init__(ending(code))
        self.code, self.begun = code, begun


@dataclass(frozen=True)
class Plan:
    """What a process is made for: its limits, and what it imports and does before they hold.

    `classes` are the dataclasses that its replies may hold. `warm` is called once at the start.
    """

    limits: Limits
    imports: tuple[str, ...] = ()
    classes: tuple[type, ...] = ()
    warm: Callable[[], object] | None = None

    def declaration(self, *, link: int) -> str:
        """Return what the process is told, as JSON; `link` is its end of the connection."""
        return json.dumps(
            {
                "parent": os.getpid(),
                "link": link,
                "limits": asdict(self.limits),
                "imports": self.imports,
                "classes": [place_of(each) for each in self.classes],
                "warm": place_of(self.warm) if self.warm is not None else "",
            }
        )


class Process:
    """A process that is running. It is called by one thread at a time, and killed by any."""

    def __init__(
        self, plan: Plan, *, starting: Callable[["Process"], object] = lambda _: None
    ) -> None:
        """Start it, and wait until it is ready.

        The thread that does so must last as long as the process, which ends with it. `starting` is
        called before the wait, with what can be killed from then on.
        Raises EndedError, LateError and ForgedError.
        """
        self._plan = plan
        self._replies = Replies(plan.classes)
        self._link, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", CHILD, plan.declaration(link=other.fileno())],
                cwd=TOP,
                env=minimal(),
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self._process.pid
        weakref.finalize(self, reap, self._process)
        self._killing = threading.Lock()
        starting(self)
        try:
            self._received(monotonic() + START_SECONDS)
        except BaseException:
            self.close()
            raise

    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def call(
        self, function: Callable[..., Any], arguments: Sequence[Any], *, seconds: float
    ) -> Any:
        """Return what a function of a module gives there; raises what it raises, of ours.

        Raises LateError, EndedError, ForgedError, StarvedError and FailedError besides; after any
        of the first three the process is to be killed.
        """
        deadline = monotonic() + seconds
        parts = call_of(function, arguments)
        try:
            self._link.settimeout(seconds)
            send(self._link, parts)
        except TimeoutError as error:
            raise LateError from error
        except OSError as error:
            raise self._ended(begun=False) from error
        self._await_beginning(deadline)
        return self._received(deadline)

    def kill(self) -> None:
        """End it now, whatever it is at; a call that waits for it raises EndedError."""
        with self._killing:
            reap(self._process)
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Kill it and give back the connection; called by the thread that has it."""
        self.kill()
        self._link.close()

    def _await_beginning(self, deadline: float) -> None:
        try:
            begun = exactly(Timed(self._link, deadline), len(BEGUN))
        except TimeoutError as error:
            raise LateError from error
        except (EOFError, OSError) as error:
            raise self._ended(begun=False) from error
        if begun != BEGUN:
            raise ForgedError("no beginning")

    def _received(self, deadline: float) -> Any:
        link = Timed(self._link, deadline)
        most = self._plan.limits.reply_bytes
        try:
            parts = receive(link, most_bytes=most, first_bytes=DOCUMENT_BYTES)
        except TimeoutError as error:
            raise LateError from error
        except (EOFError, OSError) as error:
            raise self._ended(begun=True) from error
        return self._replies.read(parts)

    def _ended(self, *, begun: bool) -> EndedError:
        """Return the error for a process that has hung up; one that lives on is killed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self.kill()
        return EndedError(self._process.returncode, begun=begun)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all of its session, and wait for its end.

    Called too where nobody has closed one, as of an application that was never started or ended.
    """
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Timed:
    """The receiving side of a connection until a deadline."""

    def __init__(self, link: socket.socket, deadline: float) -> None:
        self._link, self._deadline = link, deadline

    def recv_into(self, view: memoryview, /) -> int:
        """Receive some bytes; raises TimeoutError after the deadline."""
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._link.settimeout(left)
        return self._link.recv_into(view)


def place_of(named: Any) -> str:
    """Return where something stands, as `module:name`."""
    return f"{named.__module__}:{named.__qualname__}"


def ending(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"which ended with code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        return f"which was ended by {name}: it may have run out of memory"
    return f"which was ended by signal {-code}"
