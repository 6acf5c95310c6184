"""The processes beside a worker: started with the first batch, replaced when one dies."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from api.batch.drafts import Drafts
from api.errors import TooBusyError

T = TypeVar("T")
POLITENESS = 10  # of 19: who answers single predictions has the processor first
TRIES = 2
PAUSE_SECONDS = 5
LOOK_SECONDS = 1.0
END_SECONDS = 5.0


class Pool:
    """Runs calls in other processes; one that is lost with its process is made once more."""

    def __init__(self, processes: int) -> None:
        """Have so many processes, as soon as there is something to run."""
        self.processes = processes
        self._executor: ProcessPoolExecutor | None = None
        self._stopped = False

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what a call gives; raises what it raises, TooBusyError when processes die."""
        for _ in range(0 if self._stopped else TRIES):
            executor = self._started()
            try:
                return await result_of(executor, executor.submit(call, *arguments))
            except BrokenProcessPool:
                if self._executor is executor:
                    self._executor = None
                executor.shutdown(wait=False)
                if self._stopped:
                    break
        raise TooBusyError(
            "The processes that compute batches ended twice, perhaps for want of memory; "
            "send fewer rows at a time.",
            seconds=PAUSE_SECONDS,
        )

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.processes, mp_context=get_context("spawn"), initializer=begin
            )
        return self._executor

    def stop(self) -> None:
        """End the processes: each ends the part it is at, unless that takes too long."""
        self._stopped = True
        if (executor := self._executor) is None:
            return
        self._executor = None
        ending = threading.Thread(
            target=executor.shutdown, kwargs={"wait": True, "cancel_futures": True}
        )
        ending.start()
        ending.join(END_SECONDS)
        if ending.is_alive():
            break_up(executor)
            ending.join()


async def result_of(executor: ProcessPoolExecutor, asked: Future[T]) -> T:
    """Return what a process gives; raises what it raises, BrokenProcessPool when one has died."""
    result = asyncio.wrap_future(asked)
    try:
        while not (await asyncio.wait({result}, timeout=LOOK_SECONDS))[0]:
            if not all(child.is_alive() for child in children_of(executor)):
                await asyncio.wait({result}, timeout=LOOK_SECONDS)  # most deaths are seen at once
                break_up(executor)
                break
        return await result
    finally:
        result.cancel()


def children_of(executor: ProcessPoolExecutor) -> list[BaseProcess]:
    """Return the processes of an executor."""
    return list((getattr(executor, "_processes", None) or {}).values())


def break_up(executor: ProcessPoolExecutor) -> None:
    """Kill the processes, and wake who waits for the rest of what one of them was about to say.

    The executor sees that a process has died, but not while it reads half an answer of it: it has
    the other end of that pipe open itself.
    """
    for child in children_of(executor):
        child.kill()
    results = getattr(executor, "_result_queue", None)
    if results is not None:
        results._writer.close()


def begin() -> None:
    """Make a new process one that is beside a worker: polite, and gone when the worker is."""
    os.nice(POLITENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which ends us
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@asynccontextmanager
async def keeping(pool: Pool, drafts: Drafts) -> AsyncIterator[None]:
    """Begin without the files of workers that were killed; leave no process behind."""
    await asyncio.to_thread(drafts.clear)
    yield
    await asyncio.to_thread(pool.stop)
