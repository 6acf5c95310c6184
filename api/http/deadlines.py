"""Waits that end: at a deadline, or when the caller has gone.

Deadlines are looked at once a second, so that a short wait costs next to nothing. A timer for each
request would take longer than reading it.
"""

import asyncio
from asyncio import current_task
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

from starlette.types import Message, Receive

from api.errors import BodyLateError, CallerGoneError

LOOK_SECONDS = 1.0


class Deadlines:
    """Ends the waiting for messages whose time is over."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._over: set[asyncio.Task[object]] = set()
        self._looking: asyncio.TimerHandle | None = None

    async def within(self, receive: Receive, deadline: float) -> Message:
        """Return the next message; raises BodyLateError a little after `deadline` without it.

        `deadline` is a time of `perf_counter`.
        """
        task = current_task()
        assert task is not None  # whoever awaits is one
        self._waiting[task] = deadline
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task not in self._over:
                raise  # it is somebody else who ends it
            self._over.remove(task)
            if task.uncancel():
                raise
            raise BodyLateError from None
        finally:
            del self._waiting[task]

    def _look(self) -> None:
        now = perf_counter()
        for task, deadline in self._waiting.items():
            if deadline < now:
                self._over.add(task)
                task.cancel()
        again = bool(self._waiting)
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(LOOK_SECONDS, self._look) if again else None


T = TypeVar("T")


async def unless_gone(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """Return what some work gives, and cancel it when the caller goes; then raises CallerGoneError.

    The body must have been read: what `receive` gives next is that the caller has gone.
    """
    task = asyncio.ensure_future(work())
    watch = asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerGoneError
        return await task
    finally:
        for each in (task, watch):
            each.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def gone(receive: Receive) -> None:
    """Return when the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
