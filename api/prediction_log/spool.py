"""Folder between the workers, who write segments, and the shipper, who reads and removes them.

A segment is locked (flock) by who writes it, from before it has its name. So one that can be locked
is complete: its writer has closed it, or has died. Names sort by time, and never collide, though
several services or containers may share the folder.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self
from uuid import uuid4

from api.processes import Lock, become_the_one, is_locked

LINES = ".jsonl"  # predictions and truths, one a line
ROWS = ".rows"  # frames of a batch: see prediction_log.rows
DRAFT = ".draft"
ABANDONED_SECONDS = 60  # far more than from creating a draft to locking it


class Segment:
    """A file of the spool that this process writes."""

    def __init__(self, descriptor: int, path: Path, draft: Path) -> None:
        self._descriptor = descriptor
        self._draft = draft
        self.path = path
        self.bytes = 0

    @classmethod
    def draft(cls, folder: Path, *, owner: str, kind: str) -> Self:
        """Create a segment that the shipper does not see yet; raises OSError."""
        path = folder / f"{time.time_ns():020d}-{owner}-{uuid4().hex[:8]}{kind}"
        draft = path.with_name(f".{path.name}{DRAFT}")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(descriptor, path, draft)

    def append(self, payload: bytes) -> None:
        """Write all of `payload`, or raise OSError and leave the segment as it was."""
        written = 0
        try:
            while written < len(payload):
                written += os.write(self._descriptor, payload[written:])
        except OSError:
            with suppress(OSError):  # what stays is a torn end, which readers leave out
                os.ftruncate(self._descriptor, self.bytes)
            raise
        self.bytes += written

    def publish(self) -> None:
        """Give the segment its name; the shipper takes it when it is closed."""
        self._draft.rename(self.path)

    def close(self) -> None:
        """Leave a published segment to the shipper; one that is only a draft is removed."""
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)
        # Explicitly: a process forked from this one may hold a copy of the descriptor.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


class Spool:
    """The segments below one folder."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir.resolve() / "spool"
        self._alive = self.folder / "alive"
        self._shipper = self.folder / "shipper.lock"
        self._away = self.folder / "away"

    def create(self) -> Lock:
        """Make the folder, and hold what tells the shipper that somebody may write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Lock.shared(self._alive)

    def has_writers(self) -> bool:
        """Tell whether any worker of any service may still write."""
        return is_locked(self._alive)

    def has_shipper(self) -> bool:
        """Tell whether a shipper is at work on this folder."""
        return is_locked(self._shipper)

    def shipper_lock(self) -> Lock | None:
        """Become the one shipper, if there is none."""
        return become_the_one(self._shipper)

    def note(self, *, away: bool) -> None:
        """Let the workers know whether the database is away."""
        with suppress(OSError):
            if away:
                self._away.touch()
            else:
                self._away.unlink(missing_ok=True)

    def database_is_away(self) -> bool:
        """Tell whether there is no use in waiting for the shipper."""
        return self._away.exists()

    def segments(self, kind: str, *, owner: str = "") -> list[Path]:
        """Return the segments of a kind, the oldest first, those being written too."""
        return sorted(self.folder.glob(f"*-{owner}*{kind}"))

    def claimed(self, path: Path) -> BinaryIO | None:
        """Open a segment that nobody writes any more; None if somebody does, or it is gone."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def bytes(self) -> int:
        """Return how much waits on disk."""
        total = 0
        with os.scandir(self.folder) as found:
            for entry in found:
                with suppress(FileNotFoundError):  # shipped in this moment
                    total += entry.stat().st_size
        return total

    def remove_abandoned(self) -> None:
        """Remove what was never published, and whose writer has died."""
        oldest = time.time() - ABANDONED_SECONDS
        for draft in self.folder.glob(f".*{DRAFT}"):
            if (file := self.claimed(draft)) is None:
                continue
            with file:
                if os.fstat(file.fileno()).st_mtime < oldest:
                    draft.unlink(missing_ok=True)
