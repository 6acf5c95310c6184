"""Folder between the follower, which fetches models from a bucket, and the workers, which serve.

<state_dir>/models/files/<sha256>            each file once, by its content
<state_dir>/models/releases/<id>/<model>/…   a whole set of models; its files are links to those
<state_dir>/models/served                    a link to the set that is served, replaced in one step
<state_dir>/models/problems.json             what is named and cannot be had, by model, and why
<state_dir>/models/asked, away, alive, …     what every follower has (`api.models.following`)

What is served has the form of `model/` in the repository, and is read as that is. A file that two
sets share is one file on disk, so that only what has changed is loaded again.
"""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from api.background import Lock
from api.models.following import FollowedFolder
from api.settings import FETCHED
from treeline.artifact.listing import LIST, Listing, StoredFile
from treeline.errors import ArtifactRejectedError
from treeline.files import write_bytes, write_json
from treeline.signing import STATEMENT_FILE

GRACE_SECONDS = 60.0  # a worker may be reading the former set just now
MOST_OF_DISK = 0.9  # of what is free: the service writes there too


class BucketFolder(FollowedFolder):
    """A folder that holds what a bucket names, and notes what of that cannot be had.

    <folder>/problems.json           why, by model
    """

    def __init__(self, folder: Path, *, beside: Path | None = None) -> None:
        """Name the folder, as any that is followed."""
        super().__init__(folder, beside=beside)
        self._problems = folder / "problems.json"

    def problems(self) -> dict[str, str]:
        """Return why models that are named are not served as they should be."""
        with suppress(OSError, ValueError):
            problems: dict[str, str] = json.loads(self._problems.read_bytes())
            return problems
        return {}

    def note(self, problems: Mapping[str, str]) -> None:
        """Note the problems there are now."""
        if problems != self.problems():
            write_json(self._problems, dict(problems))

    def shortcoming(self) -> str:
        """Return what keeps all or some of it from being as the store names it; else nothing."""
        named = (f"{name}: {reason}" for name, reason in sorted(self.problems().items()))
        return self.away() or "; ".join(named)


class FetchedFolder(BucketFolder):
    """What lies below one state folder."""

    def __init__(self, state_dir: Path) -> None:
        """Name the folder, which the first worker makes."""
        served = state_dir.resolve() / FETCHED
        super().__init__(served.parent)
        self.files = self.folder / "files"
        self._releases = self.folder / "releases"
        self._served = served

    def enter(self) -> Lock:
        """Make the folder, and hold what tells the follower that somebody reads it."""
        for folder in (self.files, self._releases):
            folder.mkdir(parents=True, exist_ok=True)
        return super().enter()

    def mark(self) -> str:
        """Return what changes when another set is served; empty before the first one."""
        with suppress(OSError):
            return os.readlink(self._served)
        return ""

    def listing(self) -> Listing | None:
        """Return what is served; None where nothing is, or nothing that is known here."""
        with suppress(OSError, ArtifactRejectedError):
            return Listing.parse((self._served / LIST).read_bytes(), place=str(self._served))
        return None

    def path(self, file: StoredFile) -> Path:
        """Return where a file is, or would be."""
        return self.files / file.sha256

    def serve(self, listing: Listing) -> None:
        """Let the workers serve a whole set, whose files are here; raises OSError.

        Nothing is left of a set that cannot be laid out: it is tried again and again.
        """
        release = self._releases / uuid4().hex
        try:
            self._lay_out(listing, release)
        except OSError:
            shutil.rmtree(release, ignore_errors=True)
            raise
        with suppress(OSError):  # none is served yet
            os.utime(self._served)
        draft = self.folder / f".{release.name}.draft"
        draft.symlink_to(release.relative_to(self.folder))
        draft.replace(self._served)

    def _lay_out(self, listing: Listing, release: Path) -> None:
        release.mkdir(parents=True)
        for name, model in listing.models.items():
            for path, file in model.files.items():
                self._link(file, release / name / path)
        if listing.statement is not None:
            self._link(listing.statement, release / STATEMENT_FILE)
        write_bytes(release / LIST, listing.to_bytes())

    def _link(self, file: StoredFile, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(self.path(file))

    def check_room(self, files: Iterable[StoredFile]) -> None:
        """Raise OSError where the disk does not have the room for those that are not here."""
        wanted = sum(file.size_bytes for file in files if not self.path(file).exists())
        check_disk(self.files, wanted, f"{wanted} bytes of models are not here yet")

    def clean(self, listing: Listing) -> None:
        """Remove the sets that are served no more, and the files that this one does not name."""
        served, before = Path(self.mark()).name, time.time() - GRACE_SECONDS
        for release in self._releases.iterdir():
            if release.name != served and release.stat().st_mtime < before:
                shutil.rmtree(release, ignore_errors=True)
        for draft in self.folder.glob(".*.draft"):
            draft.unlink(missing_ok=True)  # of a follower that was killed
        used = {file.sha256 for file in listing.stored()}
        for path in self.files.iterdir():
            if path.name not in used and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)


def check_disk(folder: Path, wanted_bytes: int, said: str) -> None:
    """Raise OSError where the disk of a folder has no room; `said` is what needs it, in words."""
    free = shutil.disk_usage(folder).free
    if wanted_bytes > MOST_OF_DISK * free:
        raise OSError(errno.ENOSPC, f"{said}, and {free} are free", "")
