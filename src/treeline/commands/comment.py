"""The report of a run → a comment on its commit, or on a pull request."""

from treeline.delivery import notes
from treeline.delivery.commenting import on_commit, on_pull_request
from treeline.errors import DeliveryError


def comment_on_commit(commit: str) -> str:
    """Post the report of the run in this checkout; return where it can be read."""
    _require_report()
    return on_commit(commit, notes.REPORT)


def comment_on_pull_request(number: str) -> str:
    """Post the report of the run in this checkout; return where it can be read."""
    _require_report()
    return on_pull_request(number, notes.REPORT)


def _require_report() -> None:
    if not notes.REPORT.is_file():
        raise DeliveryError(f"{notes.REPORT} is not there; write it first: make report")
