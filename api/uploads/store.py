"""Uploaded models on disk, as several processes and machines share them.

    <state_dir>/uploads/<name>/current.json             what is served: api.catalogue.declaration
    <state_dir>/uploads/<name>/<version>/model.onnx     each version beside the former
    <state_dir>/changes/uploads                         advanced by each change: generation

A version is named after its content, and `current.json` is replaced in one step. What nothing
points to any more is removed after a while: another process may have read the pointer just now.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from api.catalogue.declaration import Upload
from api.catalogue.generation import Generation
from api.errors import StoreUnwritableError, UploadsFullError
from api.tensors.graph import GraphFile
from api.uploads.opening import FILE
from treeline.contract.names import is_slug
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
        found = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            for folder in sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir()):
                if (pointer := self.pointer(folder)) is not None:
                    found[folder] = pointer
        return found

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
        write_text(self._root / name / POINTER, upload.model_dump_json(indent=2) + "\n")
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
