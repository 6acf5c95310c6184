"""Bodies and answers of batches under way → files below the state folder, gone when they are done.

A file is locked by the worker that writes it: one that can be locked was left by a worker that
was killed, and is removed by the next that starts.
"""

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from api.errors import StateFolderError

FOLDER = "batches"
PAUSE_SECONDS = 30
FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
YOUNG_SECONDS = 60  # between a file's first moment and its lock

logger = logging.getLogger(__name__)


class Draft:
    """One file, written from its beginning to its end, then read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = 0

    def write(self, payload: bytes) -> None:
        """Append; raises StateFolderError, as when the disk is full."""
        try:
            self.file.write(payload)
        except OSError as error:
            raise unwritable(self.path.parent, error) from error
        self.size += len(payload)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self.file.close()


class Drafts:
    """The folder of what is under way."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def new(self) -> Draft:
        """Return an empty file; raises StateFolderError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / uuid4().hex
            file = os.fdopen(os.open(path, FLAGS, 0o600), "w+b", buffering=0)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        fcntl.flock(file, fcntl.LOCK_EX)
        return Draft(path, file)

    def clear(self) -> None:
        """Remove what workers left that were killed."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                self._clear(path)

    def _clear(self, path: Path) -> None:
        with suppress(OSError), path.open("rb") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < YOUNG_SECONDS:
                return
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            logger.info("%s was left by a worker that was killed, and is removed", path)


def unwritable(folder: Path, error: OSError) -> StateFolderError:
    """Return the error to raise when the state folder fails."""
    logger.error("%s cannot be written: %s", folder, error)
    text = f"A batch needs a folder to write to, and there is none that works ({error.strerror})"
    return StateFolderError(f"{text}; see API_STATE_DIR.", seconds=PAUSE_SECONDS)
