"""Models that are taken out of service by hand: one marker file each, so that all workers agree.

An unloaded model stays in memory, and is swapped like any other when it changes: to load it again
takes a moment, and cannot fail. It is unloaded over restarts too.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock

from api.catalogue.swapping import Swapping
from treeline.files import write_bytes

LOOK_SECONDS = 1

logger = logging.getLogger(__name__)


class Unloading:
    """Keeps what a catalogue offers equal to the markers in a folder."""

    def __init__(self, folder: Path, swapping: Swapping) -> None:
        """Withhold what was unloaded before the start."""
        self._folder = folder
        self._swapping = swapping
        self._catalogue = swapping.catalogue
        self._looking = Lock()  # what was read first must not be told last
        self.look()

    def unload(self, name: str) -> None:
        """Take a model out of service; raises ArtifactNotFoundError."""
        write_bytes(self._folder / self._catalogue.entry(name).name, b"")
        self.look()

    def load(self, name: str, *, refresh: bool) -> None:
        """Put a model into service again, with `refresh` what is on disk now.

        Raises ArtifactNotFoundError.
        """
        if refresh:
            self._swapping.look()
        (self._folder / self._catalogue.entry(name).name).unlink(missing_ok=True)
        self.look()

    def forget(self, name: str) -> None:
        """Take back what was said of a model that is deleted: another may get its name."""
        (self._folder / name).unlink(missing_ok=True)
        self.look()

    def look(self) -> None:
        """Bring the catalogue up to date with the markers, once."""
        with self._looking:
            there = self._folder.iterdir() if self._folder.is_dir() else ()
            self._catalogue.withhold(frozenset(path.name for path in there))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look again and again while the service runs."""

        async def run() -> None:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    await asyncio.to_thread(self.look)
                except OSError:  # a folder that cannot be read now may be readable later
                    logger.exception("%s could not be looked through", self._folder)

        task = asyncio.create_task(run())
        yield
        task.cancel()
