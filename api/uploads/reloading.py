"""The store of uploads → the catalogue, while it is served, in every process that shares it.

As in api.catalogue.swapping, a model is loaded beside the one that is served and takes its place
in one step; one that was damaged on disk is refused and told by `/readyz`, while the former one
serves on. One that cannot be loaded just now is not served at all, as a caller was told that the
former one is no more; each look tries it again.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Lock

from api.catalogue.entries import Catalogue, Entry
from api.catalogue.generation import NEVER
from api.errors import CIRCUMSTANCES, StoreUnwritableError
from api.uploads.opening import Running, opened
from api.uploads.store import GRACE_SECONDS, UploadStore
from treeline.errors import TreelineError

LOCKS = 64  # models are loaded beside one another, each by one thread at a time

logger = logging.getLogger(__name__)


class UploadReloader:
    """Keeps the uploaded models of a catalogue equal to the store."""

    def __init__(
        self,
        store: UploadStore,
        catalogue: Catalogue,
        running: Running,
        told: Callable[[str, str], None],
    ) -> None:
        """Load nothing yet: a process that runs graphs must not begin before workers are forked.

        `running` opens them; `told` hears of each change: `swapped`, `refused`, `removed`.
        """
        self._running = running
        self.store = store
        self._catalogue = catalogue
        self._told = told
        self.generation = store.generation
        self._count = NEVER
        self._seen: dict[str, bytes | None] = {}  # None: it could not be loaded yet
        self._locks = [Lock() for _ in range(LOCKS)]
        self._cleaned = time.monotonic()

    def current(self) -> bool:
        """Tell whether nothing was uploaded, described or deleted since the last look."""
        return self.generation.count() == self._count

    def holds(self, name: str) -> bool:
        """Tell whether a model is loaded as the store has it."""
        return self._is_seen(name, self.store.pointer(name))

    def look_at(self, name: str) -> None:
        """Bring one model up to date with the store."""
        with self._locks[hash(name) % LOCKS]:
            pointer = self.store.pointer(name)
            if self._is_seen(name, pointer):
                return
            if pointer is None:
                self._drop(name)
            else:
                self._seen[name] = pointer if self._try(name) else None

    def look(self) -> None:
        """Bring the catalogue up to date with the store, once, and clean it now and then."""
        count = self.generation.count()
        there = self.store.pointers()
        for name in {**there, **self._seen}:
            if not self._is_seen(name, there.get(name)):
                self.look_at(name)
        self._count = count
        if time.monotonic() - self._cleaned > GRACE_SECONDS:
            self._cleaned = time.monotonic()
            with suppress(StoreUnwritableError):  # another process may keep it
                self.store.clean()

    def _is_seen(self, name: str, pointer: bytes | None) -> bool:
        """Tell whether what the store says of a model is what this process has loaded."""
        known = self._catalogue.find(name)
        if known is not None and known.origin == "exported":  # it is tried when that one goes
            return True
        if pointer is None:
            return name not in self._seen
        return pointer == self._seen.get(name) and known is not None

    def _try(self, name: str) -> bool:
        """Serve what the store has, and tell whether it need not be tried again."""
        served = self._catalogue.find(name)
        try:
            found = self._loaded(name)
        except CIRCUMSTANCES as error:  # of what runs graphs: not of this one
            logger.warning("%s, an upload, is not loaded yet: %s", name, error)
            reason = f"{name} is not loaded yet: {error}"
            self._catalogue.put(Entry(name, reason=reason, origin="uploaded"))
            return False
        if found.ready:
            logger.info("%s, an upload, is served in version %s", name, found.version)
        elif served is not None and served.ready:
            found = replace(served, refused=found.reason)
        self._told(name, "swapped" if found.ready and not found.refused else "refused")
        self._catalogue.put(found)
        return True

    def _loaded(self, name: str) -> Entry:
        """Load one model, or remember why it cannot be served."""
        upload = None
        try:
            upload = self.store.upload(name)
            return opened(self.store.graph(name, upload), upload, self._running)
        except CIRCUMSTANCES:
            raise
        except TreelineError as error:
            logger.warning("%s, an upload, is not served: %s", name, error)
            return Entry(name, reason=str(error), origin="uploaded", upload=upload)
        except Exception as error:  # whatever one upload does, the others must be served
            logger.exception("%s, an upload, is not served", name)
            reason = f"{name}: {type(error).__name__}: {error}"
            return Entry(name, reason=reason, origin="uploaded", upload=upload)

    def _drop(self, name: str) -> None:
        self._seen.pop(name, None)
        known = self._catalogue.find(name)
        if known is not None and known.origin == "uploaded":
            self._catalogue.remove(name)
            self._told(name, "removed")
            logger.info("%s, an upload, is deleted, and served no more", name)
