"""The shared remote → data and models here."""

from collections.abc import Sequence

from treeline.delivery import actions, notes, releasing, storage
from treeline.errors import StorageError


def pull(targets: Sequence[str]) -> str:
    """Fetch what the remote has; say what it lacks, and what is made anew for want of a remote."""
    notes.clear()
    with notes.recording_error("pull"):
        return _pulled(targets)


def _pulled(targets: Sequence[str]) -> str:
    if storage.shared() is None:
        actions.notice(f"Everything is made anew from the sources, for {storage.absence()}.")
        return ""
    lacking = storage.pull(*targets)
    if lacking and releasing.released() is not None and storage.holds_nothing(lacking):
        raise StorageError(
            "the remote has nothing of what git names, though models of it were released: it is "
            "another one, or was emptied; look at its address (make doctor), or store all of it "
            "again from where it is (dvc push)"
        )
    if lacking:
        return "The remote lacks these, so they are made anew:\n  " + "\n  ".join(lacking)
    return "Everything is here."
