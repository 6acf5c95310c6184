"""The store of uploads as a source, shared by several processes and machines.

    <state_dir>/uploads/<name>/current.json             what is served: `Upload`
    <state_dir>/uploads/<name>/<version>/model.onnx     each version beside the former
    <state_dir>/changes/uploads                         advanced by each change: generation

A version is named after its content, and `current.json` is replaced in one step. What nothing
points to any more is removed after a while: another process may have read the pointer just now.

A model is loaded beside the one that is served and takes its place in one step. One that was
damaged on disk is refused, and `/readyz` says so, while the former one serves on. One that cannot
be loaded just now is not served at all, as its uploader knows that the former one is no more; each
look tries it again.
"""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from api.errors import CIRCUMSTANCES, StoreUnwritableError, UploadsFullError
from api.inference.graph import GraphFile
from api.models.catalogue import Catalogue, Entry, Upload, entry_or_reason
from api.models.opening import FILE, Running, opened
from api.models.watcher import LOOK_SECONDS, NEVER, Generation
from treeline.contract.texts import is_slug
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError
from treeline.files import write_text

POINTER = "current.json"
GRACE_SECONDS = 60
ABANDONED_SECONDS = 3600  # a draft that nobody has written to for so long was left by a crash


class UploadStore:
    """The models uploaded to one folder."""

    def __init__(self, root: Path) -> None:
        """Keep models below `root`, which is made when the first one comes."""
        self._root = root
        self.generation = Generation(root.parent / "changes" / root.name)

    def pointers(self) -> dict[str, bytes]:
        """Return what is said of each model, by name."""
        pointers = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            for folder in sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir()):
                if (pointer := self.pointer(folder)) is not None:
                    pointers[folder] = pointer
        return pointers

    def pointer(self, name: str) -> bytes | None:
        """Return what is said of one model, which is other bytes whenever it is changed.

        Time, size and inode of the file could be those of a former one. None where there is no
        such model; empty where it is there and cannot be read.
        """
        if not is_slug(name):
            return None
        try:
            return (self._root / name / POINTER).read_bytes()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except OSError:
            return b""

    def upload(self, name: str) -> Upload:
        """Return what is served under a name; raises ArtifactRejectedError where it is broken."""
        path = self._root / name / POINTER
        try:
            return Upload.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactRejectedError(
                f"{name}: {POINTER} cannot be read ({type(error).__name__}); upload it again"
            ) from error

    def graph(self, name: str, upload: Upload) -> GraphFile:
        """Return where the bytes of a model are; whoever opens them compares their digest."""
        path = self._root.resolve() / name / upload.version / FILE
        return GraphFile(name, str(path), upload.sha256)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Yield the path of a file to write an upload to; it is gone afterwards."""
        draft = self._root / f".{uuid4().hex}.draft"
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def check_room(self, name: str, *, most: int) -> bool:
        """Tell whether a name is taken by an upload already; raises UploadsFullError."""
        there = self.pointers()
        if name not in there and len(there) >= most:
            raise UploadsFullError(
                f"{len(there)} models are uploaded, and API_MAX_UPLOADS admits {most}; "
                "delete one, or raise it."
            )
        return name in there

    def publish(self, name: str, draft: Path, upload: Upload, *, most: int) -> bool:
        """Serve a draft under a name from now on, and tell whether it replaced another one.

        Raises UploadsFullError and StoreUnwritableError.
        """
        with self._locked():
            replaced = self.check_room(name, most=most)
            target = self._root / name / upload.version / FILE
            target.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.replace(target)
            os.utime(target.parent)  # or `clean` could take it for an old one
            self._point(name, upload)
            return replaced

    def describe(self, name: str, sha256: str, changes: Mapping[str, Any]) -> None:
        """Say something else of a model, which must still have that file.

        What others changed meanwhile of the rest stays.
        """
        with self._locked():
            if self.pointer(name) is None or (upload := self.upload(name)).sha256 != sha256:
                raise ArtifactNotFoundError(f"{name!r} was deleted or replaced meanwhile.")
            self._point(name, upload.model_copy(update=changes))

    def point(self, name: str, upload: Upload) -> None:
        """Serve a graph that is here already under a name; raises StoreUnwritableError."""
        with self._locked():
            os.utime(Path(self.graph(name, upload).path).parent)
            self._point(name, upload)

    def remove(self, name: str) -> None:
        """Serve a model no more; raises ArtifactNotFoundError where another one was faster."""
        with self._locked():
            if self.pointer(name) is None:
                raise ArtifactNotFoundError(f"There is no upload {name!r} any more.")
            (self._root / name / POINTER).unlink()
            self.generation.advance()
            for version in (self._root / name).iterdir():
                os.utime(version)  # `clean` waits from now on

    def clean(self) -> None:
        """Remove what nothing points to any more, once it is old enough."""
        if not self._root.is_dir():
            return
        with self._locked():
            for draft in self._root.glob(".*.draft"):
                if age_seconds(draft) > ABANDONED_SECONDS:
                    draft.unlink(missing_ok=True)
            for folder in self._root.iterdir():
                if is_slug(folder.name):
                    self._clean(folder)

    def _clean(self, folder: Path) -> None:
        served = None
        if self.pointer(folder.name) is not None:
            try:
                served = self.upload(folder.name).version
            except ArtifactRejectedError:  # what it points to is unknown, so nothing is certain
                return
        for version in folder.iterdir():
            if version.is_dir() and version.name != served and age_seconds(version) > GRACE_SECONDS:
                shutil.rmtree(version, ignore_errors=True)
        if served is None:
            with suppress(OSError):  # a version still waits
                folder.rmdir()

    def _point(self, name: str, upload: Upload) -> None:
        unsaid = {"job"} if upload.job is None else None  # earlier releases read it too
        text = upload.model_dump_json(indent=2, exclude=unsaid)
        write_text(self._root / name / POINTER, text + "\n")
        self.generation.advance()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the store; raises StoreUnwritableError."""
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / ".lock").open("a", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn a disk that cannot be written to into StoreUnwritableError."""
    try:
        yield
    except OSError as error:
        raise StoreUnwritableError(
            f"The store of uploads cannot be written ({error.strerror}); make {root.name}/ in "
            "API_STATE_DIR writable for the service, and see that the disk has room."
        ) from error


def age_seconds(path: Path) -> float:
    """Return how long ago a file or folder was changed; 0 where it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0


LOCKS = 64  # models are loaded beside one another, each by one thread at a time

logger = logging.getLogger(__name__)


class UploadReloader:
    """Keeps the uploaded models of a catalogue equal to the store."""

    def __init__(
        self,
        store: UploadStore,
        catalogue: Catalogue,
        running: Running,
        changed: Callable[[str, str], None],
    ) -> None:
        """Load nothing yet: a process that runs graphs must not begin before workers are forked.

        `running` opens them; `changed` is called after each change, as of exported ones.
        """
        self.pause_seconds = LOOK_SECONDS
        self._running = running
        self.store = store
        self.catalogue = catalogue
        self._changed = changed
        self.generation = store.generation
        self._count = NEVER
        self._seen: dict[str, bytes | None] = {}  # None: it could not be loaded yet
        self._locks = [Lock() for _ in range(LOCKS)]
        self._cleaned = time.monotonic()

    def __str__(self) -> str:
        return "the store of uploads"

    def due(self) -> bool:
        """Tell whether the count has changed; its file is mapped again where it was replaced."""
        self.generation.follow()
        return not self.current()

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
        known = self.catalogue.find(name)
        if known is not None and known.origin == "exported":  # it is tried when that one goes
            return True
        if pointer is None:
            return name not in self._seen
        return pointer == self._seen.get(name) and known is not None

    def _try(self, name: str) -> bool:
        """Serve what the store has, and tell whether it need not be tried again."""
        served = self.catalogue.find(name)
        try:
            loaded = self._loaded(name)
        except CIRCUMSTANCES as error:  # of what runs graphs: not of this one
            logger.warning("%s, an upload, is not loaded yet: %s", name, error)
            reason = f"{name} is not loaded yet: {error}"
            self.catalogue.put(Entry(name, reason=reason, origin="uploaded"))
            return False
        if loaded.ready:
            logger.info("%s, an upload, is served in version %s", name, loaded.version)
        self._changed(name, "swapped" if loaded.ready else "refused")
        self.catalogue.put(loaded.or_former(served))
        return True

    def _loaded(self, name: str) -> Entry:
        """Load one model, or remember why it cannot be served."""
        upload = None

        def load() -> Entry:
            nonlocal upload
            upload = self.store.upload(name)
            return opened(self.store.graph(name, upload), upload, self._running)

        return replace(entry_or_reason(name, "uploaded", load), upload=upload)

    def _drop(self, name: str) -> None:
        self._seen.pop(name, None)
        known = self.catalogue.find(name)
        if known is not None and known.origin == "uploaded":
            self.catalogue.remove(name)
            self._changed(name, "removed")
            logger.info("%s, an upload, is deleted, and served no more", name)
