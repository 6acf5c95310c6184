"""Folder between the workers, which write segments, and the shipper, which reads and removes them.

A segment is locked (flock) by who writes it, from before it has its name. So one that can be
locked is complete: its writer has closed it, or has died. Names sort by time, and never collide,
though several services or containers may share the folder.

What no database can take goes to files in the state folder, and is on the disk before the spool
forgets it. An operator sees there what was damaged or refused, may mend it, and removes it. How
many such files there are is a metric: nothing disappears without a word.
"""

import fcntl
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self
from uuid import uuid4

from pydantic_core import to_json

from api.background import Lock, become_the_one, is_locked

LINES = ".jsonl"  # predictions and truths, one a line
ROWS = ".rows"  # frames of batches: see prediction_log.rows
KINDS = (LINES, ROWS)
DRAFT = ".draft"
SET_ASIDE = "refused-"  # how the names of files begin that no database can take
PRIVATE = 0o700
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
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
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

    def content(self) -> bytes:
        """Return all that was written; raises OSError."""
        return os.pread(self._descriptor, self.bytes, 0)

    def publish(self) -> None:
        """Give the segment its name; the shipper takes it when it is closed."""
        self._draft.rename(self.path)

    def settle(self) -> None:
        """Wait until the segment and its name are on the disk; raises OSError."""
        os.fsync(self._descriptor)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Leave a published segment to the shipper; one that is only a draft is removed."""
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)
        # Explicitly: a process forked from this one may hold a copy of the descriptor.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


@dataclass(frozen=True)
class Waiting:
    """What one look at the folder shows: the segments of each kind, the oldest first."""

    bytes: int = 0
    """Of all files in the folder."""
    segments: dict[str, list[Path]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def count(self) -> int:
        """Return how many segments wait."""
        return sum(map(len, self.segments.values()))

    def all(self) -> list[Path]:
        """Return the segments in the order in which they are shipped."""
        return [path for kind in KINDS for path in self.segments[kind]]


class Spool:
    """The segments below one folder."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir.resolve() / "spool"
        self._alive = self.folder / "alive"
        self._shipper = self.folder / "shipper.lock"
        self._away = self.folder / "away"

    def create(self) -> Lock:
        """Make the folder, and hold what tells the shipper that somebody may write."""
        self.folder.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self.folder.mkdir(mode=PRIVATE, exist_ok=True)
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

    def look(self, *, owner: str = "") -> Waiting:
        """Return what waits, those being written too, by listing the folder once.

        With `owner`, only the segments of one writer; bytes are those of all.
        """
        waiting: dict[str, list[str]] = {kind: [] for kind in KINDS}
        total = 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # shipped in this moment
                    total += entry.stat().st_size
                name, kind = entry.name, os.path.splitext(entry.name)[1]
                if kind in waiting and name[0] != "." and f"-{owner}" in name:
                    waiting[kind].append(name)
        segments = {kind: [self.folder / each for each in sorted(waiting[kind])] for kind in KINDS}
        return Waiting(total, segments)

    def segments(self, kind: str) -> list[Path]:
        """Return the segments of a kind, the oldest first, those being written too."""
        return self.look().segments[kind]

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
        return self.look().bytes

    def set_aside(self) -> int:
        """Return how many files there are that no database can take; raises OSError."""
        with os.scandir(self.folder.parent) as entries:
            return sum(entry.name.startswith(SET_ASIDE) for entry in entries)

    def remove_abandoned(self) -> None:
        """Remove what was never published, and whose writer has died."""
        oldest = time.time() - ABANDONED_SECONDS
        for draft in self.folder.glob(f".*{DRAFT}"):
            if (file := self.claimed(draft)) is None:
                continue
            with file:
                if os.fstat(file.fileno()).st_mtime < oldest:
                    draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


PREDICTIONS = f"{SET_ASIDE}predictions.jsonl"
TRUTHS = f"{SET_ASIDE}truths.jsonl"
ODD = f"{SET_ASIDE}lines.jsonl"
MOST_SHOWN = 3  # reasons in one line of the log

logger = logging.getLogger(__name__)


class Aside:
    """Keeps what is taken out of a spool."""

    def __init__(self, spool: Spool) -> None:
        self._folder = spool.folder.parent

    def rows(self, rows: Sequence[dict[str, object]], *, name: str, reason: object) -> None:
        """Keep rows that the database refuses, or that contradict the model; raises OSError."""
        self._append(name, [to_json(row) for row in rows])
        shown = ", ".join(str(row["id"]) for row in rows[:MOST_SHOWN])
        more = " and others" if len(rows) > MOST_SHOWN else ""
        logger.error(
            "%d rows cannot be kept in the prediction log (%s%s): %s; they are in %s",
            *(len(rows), shown, more, reason, self._folder / name),
        )

    def lines(self, lines: Sequence[bytes]) -> None:
        """Keep lines that cannot be read, byte for byte; raises OSError."""
        self._append(ODD, lines)
        logger.error(
            "%d lines of the prediction log cannot be read; they are in %s",
            *(len(lines), self._folder / ODD),
        )

    def segment(self, path: Path, *, lost_rows: int, reason: str) -> None:
        """Take a damaged segment out of the spool, whole; raises OSError."""
        target = self._folder / f"{SET_ASIDE}{path.name}"
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.rename(target)
        sync_folder(self._folder)
        logger.error(
            "A segment of the prediction log is damaged: %s; at least %d rows of it are not in "
            "the database, all others are; it is kept in %s",
            *(reason, lost_rows, target),
        )

    def _append(self, name: str, lines: Sequence[bytes]) -> None:
        path = self._folder / name
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        with open(descriptor, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._folder)
