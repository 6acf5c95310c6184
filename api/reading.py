"""JSON that takes long to read → what it says, read in a process beside the worker.

Reading JSON does not let go of the interpreter before its end, so a thread would not help.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from api.sandbox.limits import Limits
from api.sandbox.pool import Pool
from api.sandbox.process import Plan
from api.settings import Settings

T = TypeVar("T")
LONG_BYTES = 64 << 10  # of JSON: at worst some milliseconds of reading
SWELLING = 24  # times the length of a body: what its lists take as objects, and the arrays of them


class DocumentReaders:
    """Reads long documents elsewhere, with limits of time and memory."""

    def __init__(self, settings: Settings, *classes: type) -> None:
        """Have a process, once there is something to read; it may answer with these dataclasses."""
        self._seconds = settings.body_seconds
        limits = Limits(
            memory_bytes=SWELLING * max(settings.max_whole_bytes, settings.max_body_bytes),
            memory_setting="API_MAX_WHOLE_BYTES",
            seconds_setting="API_BODY_SECONDS",
        )
        imports = tuple(each.__module__ for each in classes)
        self._pool = Pool("reading", Plan(limits, imports, classes), processes=1)

    async def apart(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what a function gives, in the process.

        Raises what it raises of TreelineError, and what the pool does: TooBusyError,
        RunTooLongError, RunTooLargeError, RunCrashedError.
        """
        return await self._pool.run(call, *arguments, deadline_seconds=self._seconds)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return what must run as long as the application does."""
        return self._pool.running()

    def stop(self) -> None:
        """End the process, and what it reads."""
        self._pool.stop()
