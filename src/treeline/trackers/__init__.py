"""Where experiments are recorded besides git: protocol and table."""

from pathlib import Path
from typing import Protocol

from treeline.trackers.record import Record

TRACKERS = {"mlflow": "treeline.trackers.mlflow:MlflowTracker"}


class Tracker(Protocol):
    """A kind of tracker; importing its module is what needs its client.

    Every method raises TrackingError when the tracker is away, refuses or dies in the middle. Each
    may then be called again with the same arguments: it goes on where it was, and nothing is there
    twice.
    """

    def record(self, record: Record, files: Path) -> str:
        """Record a training with the files below a folder, and register what it exported.

        Returns where that is to be seen.
        """

    def champion(self, model: str) -> str | None:
        """Return the commit that the champion of a model is of, None where there is no champion.

        The commit is empty where somebody else than this project made the champion.
        """

    def promote(self, record: Record, *, commit: str, statement: str = "") -> str:
        """Make what a training exported the champion; return the tracker's name for it.

        `statement` is the signed statement of its release, which is kept beside its files.
        """

    def challenge(self, record: Record) -> str:
        """Make it the challenger, unless it is the champion; return the tracker's name for it."""
