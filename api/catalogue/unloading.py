"""Models that are taken out of service by hand: one marker file each, so that all workers agree.

An unloaded model stays in memory, and is swapped like any other when it changes: to load it again
takes a moment, and cannot fail. It is unloaded over restarts too.
"""

from pathlib import Path
from threading import Lock

from api.catalogue.generation import NEVER, Generation
from api.catalogue.reloading import ModelReloader
from treeline.files import write_bytes


class UnloadedModels:
    """Keeps what a catalogue offers equal to the markers in a folder, and to what was loaded."""

    def __init__(
        self, folder: Path, reloader: ModelReloader, generation: Generation, *, watched: bool
    ) -> None:
        """Withhold what was unloaded before the start.

        `watched` tells whether models on disk are looked at for changes: only then does loading
        one bring it up to date, as other workers would not follow.
        """
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
