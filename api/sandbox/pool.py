"""One sandbox for calls, and more of them once calls have kept it busy for a while.

A process takes memory, and the better part of a second to start: what is soon done waits for the
one that is there. No call waits for another one to start.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import TypeVar

from api.sandbox.sandbox import Plan, Sandbox, State

T = TypeVar("T")
BUSY_SECONDS = 0.2  # in which each call has to wait, before another process is started


class SandboxPool:
    """Sandboxes, of which the first is used, and others once they are ready.

    All methods but `stop` and `state` are for the event loop.
    """

    def __init__(
        self, name: str, plan: Plan, *, processes: int, most_waiting: int = 64, tries: int = 1
    ) -> None:
        """Have so many processes at most; for the others see Sandbox."""
        self._sandboxes = [
            Sandbox(name, plan, most_waiting=most_waiting, tries=tries) for _ in range(processes)
        ]
        self._ready = self._sandboxes[:1]
        self._busy_since: float | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def ready(self) -> int:
        """How many processes calls are shared among by now."""
        return len(self._ready)

    async def run(
        self, function: Callable[..., T], *arguments: object, deadline_seconds: float
    ) -> T:
        """Return what a function gives in the process that has the least to do; see Sandbox.run."""
        return await self.least_busy().run(function, *arguments, deadline_seconds=deadline_seconds)

    def least_busy(self) -> Sandbox:
        """Return the sandbox for a call that is made now, or for calls that belong together."""
        sandbox = min(self._ready, key=lambda each: each.calls)
        if not sandbox.calls:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = monotonic()
        elif monotonic() - self._busy_since > BUSY_SECONDS:
            self._grow()
        return sandbox

    def warm(self) -> None:
        """Start the first process, so that the first call need not wait for it; returns at once."""
        self._sandboxes[0].warm()

    def state(self) -> State:
        """Return what all processes together are at."""
        return State.of_all([sandbox.state() for sandbox in self._sandboxes])

    def stop(self) -> None:
        """Kill everything; calls under way end with TooBusyError."""
        for sandbox in self._sandboxes:
            sandbox.stop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Leave no process behind."""
        async with AsyncExitStack() as stack:
            for sandbox in self._sandboxes:
                await stack.enter_async_context(sandbox.running())
            yield
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)

    def _grow(self) -> None:
        if self._starting is None and self.ready < len(self._sandboxes):
            self._starting = asyncio.create_task(self._start(self._sandboxes[self.ready]))

    async def _start(self, sandbox: Sandbox) -> None:
        """Use one more sandbox once its process is there; where it cannot be started, try later."""
        try:
            if await asyncio.wrap_future(sandbox.warm()):
                self._ready.append(sandbox)
        finally:
            self._starting, self._busy_since = None, None
