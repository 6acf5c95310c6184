"""Calls that touch strangers' bytes → processes beside the worker, one call at a time in each.

A call that crashes its process, takes too long or loses its caller costs that process, which is
replaced, and nobody else anything.
"""

import asyncio
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from api.errors import RunCrashedError, RunStarvedError, RunTooLongError, TooBusyError
from api.sandbox.limits import Limits
from api.sandbox.process import EndedError, LateError, Plan, Process, ending
from api.sandbox.wire import FailedError, ForgedError, StarvedError
from treeline.errors import TreelineError

T = TypeVar("T")
Surroundings = Callable[[], AbstractContextManager[None]]
PAUSE_SECONDS = 2.0
AGAIN = 1  # a process that died before a call had begun in it says nothing of the call

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What a sandbox is at: calls under way and waiting, how long the oldest runs, ended processes.

    `killed` counts calls that were killed, as they took too long or their caller had gone, and
    `crashed` those that broke their process or its limit of memory.
    """

    running: int
    waiting: int
    oldest_seconds: float
    killed: int
    crashed: int

    @classmethod
    def of_all(cls, states: Sequence["State"]) -> "State":
        """Return what several sandboxes together are at."""
        return cls(
            running=sum(state.running for state in states),
            waiting=sum(state.waiting for state in states),
            oldest_seconds=max(state.oldest_seconds for state in states),
            killed=sum(state.killed for state in states),
            crashed=sum(state.crashed for state in states),
        )


@dataclass(eq=False)
class Call:
    """One call: since when it runs, and where; given up when nobody waits for it any more."""

    seconds: float
    around: Surroundings = nullcontext
    started: float | None = None
    process: Process | None = None
    given_up: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def runs_in(self, process: Process) -> bool:
        """Note where it runs; False where nobody waits for it."""
        with self.lock:
            self.process = process
            return not self.given_up

    def ended(self) -> None:
        """Note that it runs no more, so that nothing it could not kill is killed for it."""
        with self.lock:
            self.process = None

    def give_up(self) -> bool:
        """Kill what it runs in; tell whether it ran."""
        with self.lock:
            self.given_up = True
            if self.process is None:
                return False
            self.process.kill()
            return True


class Sandbox:
    """One process, which is started when it is first needed, and again when it was lost."""

    def __init__(self, name: str, plan: Plan, *, most_waiting: int = 64, tries: int = 1) -> None:
        """Have a sandbox; `name` is for messages, `tries` how many processes one call may cost.

        A call is tried again only where its process died of something else than its limits.
        """
        self.name, self.limits = name, plan.limits
        self._plan, self._most_waiting, self._tries = plan, most_waiting, tries
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"sandbox-{name}")
        self._current: Process | None = None  # of the thread alone
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._all: set[Process] = set()
        self._killed = self._crashed = 0
        self._stopped = False
        weakref.finalize(self, close_all, self._all)  # of whoever forgets to stop it

    async def run(
        self,
        function: Callable[..., T],
        *arguments: object,
        deadline_seconds: float,
        around: Surroundings = nullcontext,
    ) -> T:
        """Return what a function of a module gives, apart; cancelled, it is killed.

        The deadline counts from when it runs. `around` is entered then, in a thread, and left
        before any other call has its turn; it may raise.
        Raises what the function raises of TreelineError, and TooBusyError, RunTooLongError,
        RunTooLargeError, RunCrashedError.
        """
        call = Call(deadline_seconds, around)
        result = asyncio.wrap_future(self._submitted(call, function, arguments))
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            self._give_up(call)
            result.cancel()
            result.add_done_callback(forget)
            raise

    def call(
        self,
        function: Callable[..., T],
        *arguments: object,
        deadline_seconds: float,
        around: Surroundings = nullcontext,
    ) -> T:
        """Do the same from a thread, which waits."""
        return self._submitted(Call(deadline_seconds, around), function, arguments).result()

    @property
    def calls(self) -> int:
        """How many calls there are, those that wait too."""
        return len(self._calls)

    def warm(self) -> Future[bool]:
        """Start the process, so that the first call need not wait for it; returns at once.

        The result says whether it is there.
        """
        return self._threads.submit(self._warmed)

    def state(self) -> State:
        """Return what the sandbox is at."""
        now = monotonic()
        with self._lock:
            began = [call.started for call in self._calls if call.started is not None]
            return State(
                running=len(began),
                waiting=len(self._calls) - len(began),
                oldest_seconds=now - min(began, default=now),
                killed=self._killed,
                crashed=self._crashed,
            )

    def stop(self) -> None:
        """Kill everything; calls under way end with TooBusyError."""
        self._stopped = True
        with self._lock:
            there = list(self._all)
        for process in there:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        with self._lock:
            there = list(self._all)
        for process in there:
            process.close()

    @asynccontextmanager
    async def running(self, *, warm: bool = False) -> AsyncIterator[None]:
        """Leave no process behind; with `warm` start with one."""
        try:
            if warm:
                self.warm()
            yield
        finally:
            await asyncio.to_thread(self.stop)

    def _submitted(
        self, call: Call, function: Callable[..., T], arguments: tuple[object, ...]
    ) -> Future[T]:
        """Let a call wait for its turn; raises TooBusyError."""
        with self._lock:
            waiting = len(self._calls) - 1
            if self._stopped or waiting >= self._most_waiting:
                raise self._busy()
            self._calls.add(call)
        try:
            future = self._threads.submit(self._run, call, function, arguments)
        except RuntimeError as error:  # it was stopped just now
            self._forget(call)
            raise self._busy() from error
        future.add_done_callback(lambda _: self._forget(call))
        return future

    def _forget(self, call: Call) -> None:
        with self._lock:
            self._calls.discard(call)

    def _give_up(self, call: Call) -> None:
        """Kill a call for which nobody waits; waiting for its process to end takes a moment."""
        with self._lock:
            self._killed += call.started is not None
        threading.Thread(target=call.give_up, daemon=True).start()

    def _run(self, call: Call, function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        """Run a call, in the thread."""
        with call.around():
            return self._repeated(call, function, arguments)

    def _repeated(self, call: Call, function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        """Run a call, again where its process was lost and it may cost another one."""
        costs = starts = 0
        while starts < self._tries + AGAIN:
            starts += 1
            process = self._process()
            call.started = monotonic()
            if not call.runs_in(process):
                break
            try:
                return self._tried(process, call, function, arguments)
            except EndedError as error:
                self._lose(process)
                if self._stopped or call.given_up:
                    break
                costs += error.begun
                if costs >= self._tries:
                    raise self._crash(error) from error
            finally:
                call.ended()
        raise self._busy()

    def _tried(
        self,
        process: Process,
        call: Call,
        function: Callable[..., T],
        arguments: tuple[object, ...],
    ) -> T:
        """Run a call in a process, which is lost wherever it may not be used again."""
        try:
            result: T = process.call(function, arguments, seconds=call.seconds)
        except (LateError, StarvedError, ForgedError, FailedError) as error:
            raise self._failure(error, process) from error
        except (TreelineError, EndedError):  # the first is what the call itself raised
            raise
        except BaseException:  # who knows what of the call its process has been given
            self._lose(process)
            raise
        return result

    def _failure(self, error: Exception, process: Process) -> Exception:
        """Return the error to raise for a call that did not end well, and end its process."""
        if isinstance(error, FailedError):  # as well as any other call of it
            return RuntimeError(f"{self.name}: {error}")
        self._lose(process)
        with self._lock:
            self._killed += isinstance(error, LateError)
            self._crashed += not isinstance(error, LateError)
        limits = self.limits
        if isinstance(error, LateError):
            return RunTooLongError(
                f"The run was ended, as it took longer than {limits.seconds_setting} admits; send "
                "less at once, or raise it."
            )
        if isinstance(error, StarvedError):
            return RunStarvedError(
                f"The run needs more than the {limits.memory_bytes} bytes of memory that "
                f"{limits.memory_setting} admits; send less at once, or raise it."
            )
        logger.error("%s: a process sent what is no reply (%s), and was killed", self.name, error)
        return RunCrashedError("The run broke the process that it ran in.")

    def _crash(self, error: EndedError) -> Exception:
        with self._lock:
            self._crashed += 1
        return RunCrashedError(
            f"The run broke the process that it ran in, {ending(error.code)}; "
            f"{self.limits.memory_setting} says how much it may have."
        )

    def _process(self) -> Process:
        """Return the process, a new one where it has died since its last call."""
        process = self._current
        if process is not None and process.alive():
            return process
        if process is not None:
            self._lose(process)
        if self._stopped:
            raise self._busy()
        started: list[Process] = []
        try:
            process = Process(self._plan, starting=lambda each: self._starting(each, started))
        except (EndedError, LateError, ForgedError, OSError) as error:
            with self._lock:
                self._all.difference_update(started)
            if not self._stopped:
                logger.exception("%s: no process can be started", self.name)
            raise self._busy() from error
        self._current = process
        return process

    def _starting(self, process: Process, started: list[Process]) -> None:
        """Note a process that is not ready yet: whoever stops the sandbox need not wait for it."""
        started.append(process)
        with self._lock:
            self._all.add(process)
        if self._stopped:
            process.kill()

    def _warmed(self) -> bool:
        """Start the process; one that cannot be started now may be later."""
        try:
            self._process()
        except TooBusyError as error:
            logger.warning("%s", error)
            return False
        return True

    def _lose(self, process: Process) -> None:
        process.close()
        self._current = None
        with self._lock:
            self._all.discard(process)

    def _busy(self) -> TooBusyError:
        return TooBusyError(
            f"The processes that run {self.name} are busy; come back later.",
            seconds=PAUSE_SECONDS,
        )


def close_all(processes: set[Process]) -> None:
    """End the processes of a sandbox that nobody has any more."""
    for process in processes:
        process.close()


def forget(result: asyncio.Future[T]) -> None:
    """Take note of how something ended for which nobody waits."""
    if not result.cancelled():
        result.exception()


__all__ = ["Limits", "Plan", "Sandbox", "State"]
