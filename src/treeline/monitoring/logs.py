"""Where the log of a service is read: a database, or the service itself; one name for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from treeline.monitoring.rows import Logged, LoggedPrediction
from treeline.registry import resolve

CHUNK_ROWS = 20_000
ID_PATTERN = r"[A-Za-z0-9._:/+=@-]{1,200}"

# By the scheme of the URL, so that a driver is imported only where it is needed.
LOGS = {
    "http": "treeline.monitoring.services:ServiceLog",
    "https": "treeline.monitoring.services:ServiceLog",
    "postgresql": "treeline.monitoring.databases:DatabaseLog",
    "sqlite": "treeline.monitoring.databases:DatabaseLog",
}


@dataclass(frozen=True)
class LogQuery:
    """Which rows of a model are wanted; times are seconds since 1970.

    Those predicted from `since` on and before `until`, and those predicted from `reach` on whose
    truth came in from `since` on.
    """

    model: str
    since: float
    until: float
    reach: float


class PredictionLog(Protocol):
    """A log that can be read more than once. Every method raises SourceError."""

    def first(self, model: str, version: str) -> float | None:
        """Return when a version answered first, None where it never did."""
        ...

    def ahead(self, query: LogQuery) -> int:
        """Return how many predictions are of a time that has not come."""
        ...

    def chunks(self, query: LogQuery) -> Iterator[Logged]:
        """Yield the rows of all versions, at most CHUNK_ROWS at a time, in any order."""
        ...

    def prediction(self, id: str) -> LoggedPrediction | None:
        """Return the prediction with an id, None where the log has none.

        `id` matches ID_PATTERN.
        """
        ...

    def refused(self, model: str) -> dict[str, int]:
        """Return how many requests were refused for each field, where the log knows."""
        ...


def log_of(url: str, secret: str) -> PredictionLog:
    """Return the log behind a URL; `secret` names the variable with its password or key.

    Raises UnknownNameError for a URL of another kind, and MissingExtraError where a driver is not
    installed.
    """
    scheme = url.partition("://")[0].partition("+")[0]
    opened: type[PredictionLog] = resolve(LOGS, scheme, place="--log", extra="sql")
    return opened(url, secret)  # type: ignore[call-arg]
