"""Folder between the follower, who asks the registry, and the workers, who serve what it found.

<state_dir>/registry/offers.json                     what there is, and what is served
<state_dir>/registry/artifacts/<sha256>/<name>/      a version that passed, by its content
<state_dir>/registry/wanted/<name>@<number>          a version somebody asked for, and when
<state_dir>/registry/asked, away                     when the registry last answered; why not
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from api.processes import Lock, become_the_one, is_locked
from api.registry.offers import Offers
from treeline.files import write_text

TOUCH_SECONDS = 10
FILE = "artifact/model.onnx"  # in a folder of `artifacts`, where no signature says otherwise

Mark = tuple[int, int, int]
Wanted = tuple[str, str]


class Shelf:
    """What lies below one state folder."""

    def __init__(self, state_dir: Path) -> None:
        """Name the folder, which the first worker makes."""
        self.folder = state_dir.resolve() / "registry"
        self.artifacts = self.folder / "artifacts"
        self._document = self.folder / "offers.json"
        self._wanted = self.folder / "wanted"
        self._asked = self.folder / "asked"
        self._away = self.folder / "away"
        self._alive = self.folder / "alive"
        self._follower = self.folder / "follower.lock"

    def enter(self) -> Lock:
        """Make the folder, and hold what tells the follower that somebody reads it."""
        for folder in (self.artifacts, self._wanted):
            folder.mkdir(parents=True, exist_ok=True)
        return Lock.shared(self._alive)

    def is_read(self) -> bool:
        """Tell whether any worker reads the folder."""
        return is_locked(self._alive)

    def has_follower(self) -> bool:
        """Tell whether a follower is at work on this folder."""
        return is_locked(self._follower)

    def follower_lock(self) -> Lock | None:
        """Become the one follower, if there is none."""
        return become_the_one(self._follower)

    def mark(self) -> Mark | None:
        """Return what changes when the document does: its time, size and inode."""
        try:
            found = self._document.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def offers(self) -> Offers | None:
        """Read the document, or return None where there is none of a format known here."""
        with suppress(OSError, ValidationError):
            return Offers.model_validate_json(self._document.read_bytes())
        return None

    def publish(self, offers: Offers) -> None:
        """Replace the document."""
        write_text(self._document, offers.model_dump_json(indent=1) + "\n")

    def root(self, artifact: str) -> Path:
        """Return the folder of an artifact, of whichever model: the root of a store."""
        return self.artifacts / artifact

    def want(self, name: str, number: str) -> None:
        """Ask for a version, or say that it is used still."""
        path = self._wanted / f"{name}@{number}"
        if age_seconds(path) > TOUCH_SECONDS:
            path.touch()

    def wanted(self) -> list[tuple[Wanted, float]]:
        """Return the versions that were asked for, the latest first, and how long ago."""
        with suppress(FileNotFoundError):
            paths = [(path.name.rpartition("@"), age_seconds(path)) for path in _in(self._wanted)]
            found = [((parts[0], parts[2]), age) for parts, age in paths]
            return sorted(found, key=lambda each: each[1])
        return []

    def forget(self, name: str, number: str) -> None:
        """Forget that a version was asked for."""
        (self._wanted / f"{name}@{number}").unlink(missing_ok=True)

    def answered(self) -> None:
        """Note that the registry has answered."""
        self._asked.touch()
        self._away.unlink(missing_ok=True)

    def silent(self, reason: str) -> None:
        """Note why the registry cannot be asked."""
        write_text(self._away, reason + "\n")

    def away(self) -> str:
        """Return why the registry cannot be asked; empty where it can."""
        with suppress(OSError):
            return self._away.read_text(encoding="utf-8").strip()
        return ""

    def asked_at(self) -> float | None:
        """Return when the registry last answered, in seconds since 1970; None: never."""
        with suppress(OSError):
            return self._asked.stat().st_mtime
        return None


def _in(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder)]


def age_seconds(path: Path) -> float:
    """Return how long ago a file was written or touched; infinite where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")
