"""Uploaded models on disk, as several processes and machines share them.

    <state_dir>/uploads/<name>/current.json             what is served: api.catalogue.declaration
    <state_dir>/uploads/<name>/<version>/model.onnx     each version beside the former

A version is named after its content, and `current.json` is replaced in one step. What nothing
points to any more is removed after a while: another process may have read the pointer just now.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from api.catalogue.declaration import Upload
from api.errors import StoreUnwritableError, UploadsFullError
from api.uploads.opening import FILE
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError
from treeline.files import digest, write_text

POINTER = "current.json"
GRACE_SECONDS = 60
ABANDONED_SECONDS = 3600  # a draft that nobody has written to for so long was left by a crash

Mark = tuple[int, int, int]


class UploadStore:
    """The models uploaded to one folder."""

    def __init__(self, root: Path) -> None:
        """Keep models below `root`, which is made when the first one comes."""
        self._root = root

    def marks(self) -> dict[str, Mark]:
        """Return what changes when a model does, by name: time, size and inode of its pointer."""
        found = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            for folder in sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir()):
                if (mark := self.mark(folder)) is not None:
                    found[folder] = mark
        return found

    def mark(self, name: str) -> Mark | None:
        """Return what changes when one model does, or None where there is no such model."""
        if not is_slug(name):
            return None
        try:
            found = (self._root / name / POINTER).stat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def upload(self, name: str) -> Upload:
        """Return what is served under a name; raises ArtifactRejectedError where it is broken."""
        path = self._root / name / POINTER
        try:
            return Upload.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactRejectedError(
                f"{name}: {POINTER} cannot be read ({type(error).__name__}); upload it again"
            ) from error

    def payload(self, name: str, upload: Upload) -> bytes:
        """Return the bytes of a model; raises ArtifactRejectedError where they are not its own."""
        path = self._root / name / upload.version / FILE
        try:
            intact = digest(path) == upload.sha256
            payload = path.read_bytes() if intact else b""
        except OSError as error:
            raise ArtifactRejectedError(
                f"{name}: {upload.version}/{FILE} cannot be read "
                f"({type(error).__name__}); upload it again"
            ) from error
        if not intact:
            raise ArtifactRejectedError(
                f"{name}: {upload.version}/{FILE} is not what was uploaded; upload it again"
            )
        return payload

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
        there = self.marks()
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

    def describe(self, name: str, upload: Upload) -> None:
        """Say something else of a model, which must still be the one that is served."""
        with self._locked():
            if self.mark(name) is None or self.upload(name).sha256 != upload.sha256:
                raise ArtifactNotFoundError(f"{name!r} was deleted or replaced meanwhile.")
            self._point(name, upload)

    def remove(self, name: str) -> None:
        """Serve a model no more; raises ArtifactNotFoundError where another one was faster."""
        with self._locked():
            if self.mark(name) is None:
                raise ArtifactNotFoundError(f"There is no upload {name!r} any more.")
            (self._root / name / POINTER).unlink()
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
        if self.mark(folder.name) is not None:
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

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the store; raises StoreUnwritableError."""
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / ".lock").open("a") as lock:
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


def is_slug(name: str) -> bool:
    """Tell whether a name is one that a model can have: no path, nothing hidden."""
    return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) is not None and len(name) <= 63


def age_seconds(path: Path) -> float:
    """Return how long ago a file or folder was changed; 0 where it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0
