"""Work for a caller → its result, or its end as soon as the caller has gone."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from starlette.types import Receive

from api.errors import CallerGoneError

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
