"""The store of uploads → the catalogue, while it is served, in every process that shares it.

As in api.catalogue.swapping, a model is loaded beside the one that is served and takes its place
in one step; a broken one is refused and told by `/readyz`, while the former one serves on.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from threading import Lock

from api.catalogue.entries import Catalogue, Entry
from api.errors import StoreUnwritableError
from api.uploads.opening import opened
from api.uploads.store import GRACE_SECONDS, Mark, UploadStore
from treeline.errors import TreelineError

LOOK_SECONDS = 0.25  # how long another process may serve what was replaced or deleted

logger = logging.getLogger(__name__)


class Uploads:
    """Keeps the uploaded models of a catalogue equal to the store."""

    def __init__(
        self, store: UploadStore, catalogue: Catalogue, told: Callable[[str, str], None]
    ) -> None:
        """Load what there is; `told` hears of each change: `swapped`, `refused`, `removed`."""
        self.store = store
        self._catalogue = catalogue
        self._told = told
        self._seen: dict[str, Mark] = {}
        self._looking = Lock()
        self._cleaned = time.monotonic()
        self._lost = False
        self.look_if_possible()

    async def run(self) -> None:
        """Look again and again, in a thread: loading must not keep requests waiting."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.look_if_possible)

    async def sought(self, name: str) -> None:
        """Look at once when a model is unknown here that another process may have been given."""
        if self._catalogue.find(name) is None and self.store.mark(name) is not None:
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Bring the catalogue up to date with the store, once."""
        with self._looking:
            there = self.store.marks()
            for name, mark in there.items():
                known = self._catalogue.find(name)
                if known is not None and known.origin == "exported":
                    self._seen.pop(name, None)  # it is tried when that one goes
                elif known is None or mark != self._seen.get(name):
                    self._seen[name] = mark
                    self._try(name, known)
            for name in [name for name in self._seen if name not in there]:
                self._drop(name)

    def look_if_possible(self) -> None:
        """Look, and clean now and then; a store that cannot be read may be readable later."""
        try:
            self.look()
            if time.monotonic() - self._cleaned > GRACE_SECONDS:
                self._cleaned = time.monotonic()
                with suppress(StoreUnwritableError):  # another process may keep it
                    self.store.clean()
            self._lost = False
        except Exception:  # whatever it is, the models that are loaded are served on
            if not self._lost:  # once, not four times a second
                logger.exception("the store of uploads could not be looked through")
            self._lost = True

    def _try(self, name: str, served: Entry | None) -> None:
        found = self._loaded(name)
        if found.ready:
            logger.info("%s, an upload, is served in version %s", name, found.version)
        elif served is not None and served.ready:
            found = replace(served, refused=found.reason)
        self._told(name, "swapped" if found.ready and not found.refused else "refused")
        self._catalogue.put(found)

    def _loaded(self, name: str) -> Entry:
        """Load one model, or remember why it cannot be served."""
        upload = None
        try:
            upload = self.store.upload(name)
            return opened(name, self.store.payload(name, upload), upload)
        except TreelineError as error:
            logger.warning("%s, an upload, is not served: %s", name, error)
            return Entry(name, reason=str(error), origin="uploaded", upload=upload)
        except Exception as error:  # whatever one upload does, the others must be served
            logger.exception("%s, an upload, is not served", name)
            reason = f"{name}: {type(error).__name__}: {error}"
            return Entry(name, reason=reason, origin="uploaded", upload=upload)

    def _drop(self, name: str) -> None:
        self._seen.pop(name)
        known = self._catalogue.find(name)
        if known is not None and known.origin == "uploaded":
            self._catalogue.remove(name)
            self._told(name, "removed")
            logger.info("%s, an upload, is deleted, and served no more", name)


@asynccontextmanager
async def sharing(uploads: Uploads) -> AsyncIterator[None]:
    """Look at the store beside the requests: now, as it may have changed meanwhile, and on."""
    await asyncio.to_thread(uploads.look_if_possible)
    watch = asyncio.create_task(uploads.run())
    yield
    watch.cancel()
