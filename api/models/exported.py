"""The model folder as a source: a changed model is loaded, tried and swapped.

After `dvc pull` or `git pull` nothing need be restarted. Every worker looks for itself. A model is
loaded beside the one that is served, and takes its place in one step; requests under way end with
the one they began with. One that is refused (half fetched, broken, not repeating its own example)
leaves the served one where it is, and `/readyz` says so until it is whole or gone. Gone is what is
not there in LOOKS looks: git and DVC may remove a file before they write it anew. One whose signer
could not be found out is tried again as it is, as nothing changes here when a server is back.

A model that is unloaded by hand has a marker file, so that all workers agree. It stays in memory,
and is swapped like any other when it changes: to load it again takes a moment, and cannot fail. It
is unloaded over restarts too.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock

from api.inference.record import Predictor
from api.models.catalogue import Catalogue, Entry, entry_or_reason
from api.models.watcher import LOOK_SECONDS, NEVER, Generation, Marks, marks_of
from treeline.artifact.store import SIGNATURE_FILE, ArtifactStore
from treeline.files import write_bytes

LOOKS = 3  # in a row
UNCHECKED_SECONDS = 60.0  # after which a signature is checked again that could not be checked

logger = logging.getLogger(__name__)


class ModelReloader:
    """Keeps a catalogue equal to the folder of its store."""

    def __init__(
        self,
        folder: Path,
        store: ArtifactStore,
        *,
        default: str | None,
        changed: Callable[[str, str], None],
        pause_seconds: float,
    ) -> None:
        """Load the catalogue of what is below `folder`, which is that of the store.

        It is looked through after each pause, and never where the pause is 0.
        `changed` is called after each change, with the model and `swapped`, `refused` or `removed`.
        """
        self.pause_seconds = pause_seconds
        self.looks = LOOKS
        """In so many looks in a row a model must not be there, to be gone."""
        self._folder = folder
        self._changed = changed
        self._store = store
        self._looking = Lock()
        self._missed: dict[str, int] = {}
        self._unsettled = False  # whether a model was loaded since it was settled which is default
        self._seen = {name: self._marks(name) for name in store.names()}
        self._due: dict[str, float] = {}
        entries = {name: load_entry(store, name) for name in store.names()}
        for entry in entries.values():
            self._note(entry)
        self.catalogue = Catalogue(entries, default=default)

    def __str__(self) -> str:
        return str(self._folder)

    def due(self) -> bool:
        """Tell that a folder is looked through each time: nobody says when it changes."""
        return True

    def current(self) -> bool:
        """Tell that no request looks at it first."""
        return True

    def look(self) -> None:
        """Bring the catalogue up to date with the folder, once; one thread at a time."""
        with self._looking:
            self._look()

    def holds(self, name: str) -> bool:
        """Tell whether a model is loaded as it is on disk; one that is absent is not missed yet."""
        return self._marks(name) in ((), self._seen.get(name))

    def look_at(self, name: str) -> None:
        """Bring one model up to date with the folder."""
        with self._looking:
            if name in self._store.names():
                self._load(name)

    def _look(self) -> None:
        there = self._store.names()
        for name in there:
            self._load(name)
        absent = [name for name in self.catalogue.exported() if name not in there]
        missed = {name: self._missed.get(name, 0) + 1 for name in absent}
        gone = [name for name, looks in missed.items() if looks >= self.looks]
        if self._unsettled or gone or missed.keys() != self._missed.keys():
            self.catalogue.settle(gone=gone, missed=missed)
            self._unsettled = False
        self._missed = {name: looks for name, looks in missed.items() if name not in gone}
        for name in gone:
            self._seen.pop(name, None)
            self._due.pop(name, None)
            self._changed(name, "removed")
            logger.info("%s is gone from %s, and served no more", name, self._folder)

    def _load(self, name: str) -> None:
        marks = self._marks(name)
        changed = marks != self._seen.get(name)
        if changed or time.monotonic() >= self._due.get(name, math.inf):
            self._unsettled = True
            self._try(name, changed=changed)
            self._seen[name] = marks

    def _note(self, loaded: Entry) -> None:
        """Note when a model is to be tried again though none of its files changes."""
        self._due.pop(loaded.name, None)
        if loaded.unchecked:
            self._due[loaded.name] = time.monotonic() + UNCHECKED_SECONDS

    def _try(self, name: str, *, changed: bool) -> None:
        loaded, served = load_entry(self._store, name), self.catalogue.find(name)
        self._note(loaded)
        if changed or not loaded.unchecked:
            self._changed(name, "swapped" if loaded.ready else "refused")
        if served is not None and served.origin == "uploaded":
            served = None  # the name belongs to what is exported
        self.catalogue.put(loaded.or_former(served))
        if loaded.ready:
            logger.info("%s is served in version %s", name, loaded.version)

    def _marks(self, name: str) -> Marks:
        """Return what changes when a file of a model does: its name, time, size and inode."""
        folder = self._folder / name
        vouching = self._store.vouching() if folder.is_dir() else ()
        return marks_of(sorted([folder / SIGNATURE_FILE, *folder.glob("artifact/*"), *vouching]))


def load_entry(store: ArtifactStore, name: str) -> Entry:
    """Load one model, or remember why it cannot be served."""
    signature = None

    def load() -> Entry:
        nonlocal signature
        signature = store.signature(name)
        return Entry(name, signature, Predictor(store.load(name)))

    return replace(entry_or_reason(name, "exported", load), signature=signature)


UNLOADED = "unloaded"


def unloading_of(state_dir: Path) -> Generation:
    """Return the count of what was unloaded by hand, of all that share a state folder."""
    return Generation(state_dir / "changes" / UNLOADED)


def forget_unloaded(state_dir: Path, name: str) -> None:
    """Take back what was said of a model that is deleted elsewhere: another may get its name."""
    marker = state_dir / UNLOADED / name
    if marker.exists():
        marker.unlink(missing_ok=True)
        unloading_of(state_dir).advance()


class UnloadedModels:
    """Keeps what a catalogue offers equal to the markers in a folder, and to what was loaded."""

    def __init__(
        self, folder: Path, reloader: ModelReloader, generation: Generation, *, watched: bool
    ) -> None:
        """Withhold what was unloaded before the start.

        `watched` tells whether models on disk are looked at for changes: only then does loading
        one bring it up to date, as other workers would not follow.
        """
        self.pause_seconds = LOOK_SECONDS
        self.generation = generation
        self._folder = folder
        self._reloader = reloader
        self._catalogue = reloader.catalogue
        self._watched = watched
        self._looking = Lock()  # what was read first must not be told last
        self._count = NEVER
        self._names: frozenset[str] = frozenset()
        self._look()

    def unload(self, name: str) -> None:
        """Take a model out of service; raises ArtifactNotFoundError."""
        write_bytes(self._folder / self._catalogue.entry(name).name, b"")
        self._changed()

    def load(self, name: str) -> None:
        """Put a model into service again, as it is on disk now; raises ArtifactNotFoundError."""
        if self._watched:
            self._reloader.look()
        (self._folder / self._catalogue.entry(name).name).unlink(missing_ok=True)
        self._changed()

    def forget(self, name: str) -> None:
        """Take back what was said of a model that is deleted: another may get its name."""
        (self._folder / name).unlink(missing_ok=True)
        self._changed()

    def __str__(self) -> str:
        return str(self._folder)

    def due(self) -> bool:
        """Tell whether the count has changed; its file is mapped again where it was replaced."""
        self.generation.follow()
        return not self.current()

    def current(self) -> bool:
        """Tell whether no model was loaded or unloaded since the last look."""
        return self.generation.count() == self._count

    def holds(self, name: str) -> bool:
        """Tell whether a model is offered, and loaded, as the disk has it."""
        if self._watched and not self._reloader.holds(name):
            return False
        return (self._folder / name).exists() == (name in self._names)

    def look_at(self, name: str) -> None:
        """Bring the catalogue up to date with the markers, and one model with the disk."""
        if self._watched:
            self._reloader.look_at(name)
        self._look()

    def look(self) -> None:
        """Bring the catalogue up to date with the markers, and with what was loaded, once."""
        count = self.generation.count()
        if self._watched and count != self._count:
            self._reloader.look()
        self._look()
        self._count = count

    def _changed(self) -> None:
        self._look()
        self.generation.advance()

    def _look(self) -> None:
        with self._looking:
            there = self._folder.iterdir() if self._folder.is_dir() else ()
            self._names = frozenset(path.name for path in there)
            self._catalogue.withhold(self._names)
