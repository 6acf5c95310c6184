"""What any process was asked to change → known here before the next request is answered.

Each worker holds what is served in memory, and the disk is the truth. A change advances a count
that all processes share (`api.catalogue.generation`). A request that sees another count than the
last look looks at its own model first, and waits only where that one has changed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from api.background import beside
from api.catalogue.generation import Generation
from treeline.contract.names import is_slug

LOOK_SECONDS = 0.25  # between two looks at the counts, so that requests seldom have to wait
WHOLE_SECONDS = 1.0  # between two looks at everything: for what was changed by hand, or elsewhere
READY_SECONDS = 1.0  # for which those wait who ask whether the service is ready

logger = logging.getLogger(__name__)


class Place(Protocol):
    """Where models come from, and what this process holds of it."""

    def current(self) -> bool:
        """Tell whether a request need not look at it first."""

    def holds(self, name: str) -> bool:
        """Tell whether one model is here as it is in the folder."""

    def look_at(self, name: str) -> None:
        """Bring one model up to date, in a thread."""

    def look(self) -> None:
        """Bring every model up to date, in a thread."""


class Source(Place, Protocol):
    """A folder that several processes change; it is current as long as its count is."""

    generation: Generation


class Freshness:
    """Keeps what a process serves equal to folders that it shares with others."""

    def __init__(self, unloading: Source, uploads: Source, registry: Place | None = None) -> None:
        """Look at nothing before it runs.

        Any model may be unloaded; `uploads` gives some of those that run apart. The registry is
        looked at elsewhere, and here only for models that a request would miss otherwise.
        """
        self._unloading, self._uploads = unloading, uploads
        self._sources: Sequence[Source] = (unloading, uploads)
        self._places: Sequence[Place] = (*self._sources, *((registry,) if registry else ()))
        self._looks: dict[tuple[int, str | None], asyncio.Task[None]] = {}
        self._failing = False
        self._looked = 0.0

    def current(self, *, apart: bool) -> bool:
        """Tell whether a model may answer at once; it costs a prediction next to nothing."""
        return self._unloading.current() and (not apart or self._uploads.current())

    async def model(self, name: str) -> None:
        """Return as soon as a model is as the last change left it."""
        if not is_slug(name):
            return
        for source in self._places:
            if not source.current() and not source.holds(name):
                await self._look(source, name)

    async def everything(self) -> None:
        """Return as soon as all models are as the last change left them."""
        for source in self._places:
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
        await self._watch_once()
        async with beside(self._watch()):
            yield

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._watch_once()

    async def _watch_once(self) -> None:
        whole = time.monotonic() - self._looked >= WHOLE_SECONDS
        if whole:
            self._looked = time.monotonic()
        for source in self._sources:
            await asyncio.to_thread(source.generation.follow)
            if whole or not source.current():
                await self._look(source, None)

    async def _look(self, source: Place, name: str | None) -> None:
        """Look in a thread; requests for the same model share a look that begins after them."""
        key = (id(source), name)
        for _ in range(2):  # one that is under way may have begun before the change
            if (task := self._looks.get(key)) is not None:
                await asyncio.shield(task)
                continue
            call = source.look if name is None else lambda: source.look_at(name)
            task = self._looks[key] = asyncio.create_task(self._looked_with(call))
            task.add_done_callback(lambda _: self._looks.pop(key))
            await asyncio.shield(task)
            return

    async def _looked_with(self, look: Callable[[], None]) -> None:
        """Look; a folder that cannot be read now may be later, and what is loaded is served on."""
        try:
            await asyncio.to_thread(look)
            self._failing = False
        except Exception:
            if not self._failing:  # once, not four times a second
                logger.exception("what is shared with other processes could not be looked through")
            self._failing = True
