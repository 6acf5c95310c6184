"""Every prediction that is answered → the spool, within a tenth of a second, off the request path.

The shipper, a process of its own, takes it from there to the database. What is on disk survives
the death of any process, and waits there while the database is away.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from api.errors import LogUnavailableError
from api.prediction_log.drafting import BatchDraft
from api.prediction_log.keeping import ShipperKeeper
from api.prediction_log.redaction import Redaction
from api.prediction_log.spool import LINES, ROWS, Spool
from api.prediction_log.writing import Writer, feedback_line
from api.processes import Lock
from api.settings import Settings
from treeline.errors import MissingExtraError
from treeline.registry import resolve

if TYPE_CHECKING:
    from api.prediction_log.reading import LogReader

FLUSH_SECONDS = 0.02  # short turns: the event loop waits while one is taken
LOOK_SECONDS = 1.0
WAIT_SECONDS = 0.05  # between two looks at whether segments are shipped
END_SECONDS = 5.0  # how long the end of a worker waits for its segments to be shipped

# SQLAlchemy takes longer to import than all the rest: a worker does without until it is asked.
READERS = {"reader": "api.prediction_log.reading:LogReader"}

logger = logging.getLogger(__name__)


class Log(Protocol):
    """What records predictions."""

    @property
    def lost_total(self) -> int:
        """How many records were given up."""

    @property
    def waiting_records(self) -> int:
        """How many records are in memory only."""

    def record(self, time: float, latency_seconds: float, features: bytes, answer: bytes) -> None:
        """Take one prediction: the JSON of its record, and of its answer."""

    def batch(self) -> BatchDraft:
        """Return what takes the rows of one batch."""

    def redacted(self, model: str) -> frozenset[str]:
        """Return the names of features that are not recorded of a model."""

    def waiting_bytes(self) -> int:
        """Return how much waits on disk."""


class PredictionLog:
    """The log of one worker; `record` costs a microsecond and never waits."""

    def __init__(self, settings: Settings) -> None:
        """Raises MissingExtraError when the database needs a driver that is not installed."""
        url = settings.prediction_log_url
        if url is not None:
            check_driver(url.get_secret_value())
        self.settings = settings
        self.spool = Spool(settings.state_dir)
        self._redaction = Redaction(settings.prediction_log_redact)
        self._writer = Writer(
            self.spool,
            redaction=self._redaction,
            most_bytes=settings.prediction_log_spool_bytes,
        )
        self._keeper = ShipperKeeper(self.spool, settings)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._alive: Lock | None = None
        self._reader: LogReader | None = None

    @property
    def lost_total(self) -> int:
        """How many records were given up, since the worker started."""
        return self._writer.lost_total

    @property
    def waiting_records(self) -> int:
        """How many records are in memory only."""
        return self._writer.waiting_records

    def waiting_bytes(self) -> int:
        """Return how much of all workers waits on disk for the database."""
        try:
            return self.spool.bytes()
        except OSError:
            return 0

    def record(self, time: float, latency_seconds: float, features: bytes, answer: bytes) -> None:
        """Take one prediction: the JSON of its record, and of its answer."""
        self._writer.record((time, latency_seconds, features, answer))

    def feedback(self, truths: Iterable[tuple[str, object]], *, at: float) -> None:
        """Take what proved to be true, by the id of the prediction, and write it to the spool.

        Raises LogUnavailableError when there is no room for it.
        """
        lines = [feedback_line(at=at, prediction_id=name, truth=truth) for name, truth in truths]
        if not self._writer.has_room(sum(map(len, lines))):
            raise LogUnavailableError(
                "The spool of the prediction log is full, as its database is away. Nothing was "
                "taken; tell it again in a while.",
                seconds=60,
            )
        self._writer.take(lines)
        self._writer.flush()

    def batch(self) -> BatchDraft:
        """Return what takes the rows of one batch."""
        return BatchDraft(self.spool, self._writer)

    def redacted(self, model: str) -> frozenset[str]:
        """Return the names of features that are not recorded of a model; it need not have them."""
        return self._redaction.of(model)

    def settle(self, *, seconds: float) -> None:
        """Wait until all that was answered before now is in the database, but not longer."""
        self._writer.flush()
        self._writer.rotate(now=True)
        self._wait_for(owner="", seconds=seconds)

    def reader(self) -> "LogReader":
        """Return what reads the database; takes a while the first time."""
        if self._reader is None:
            self._reader = resolve(READERS, "reader", place="prediction log")(self.settings)
        return self._reader

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and give the shipper a moment to take it."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._writer.flush()
        self._writer.rotate(now=True)
        if self._writer.waiting_records:
            self._writer.lose(self._writer.waiting_records, "the service ends")
        if self._alive is None:
            return
        self._wait_for(owner=self._writer.owner, seconds=END_SECONDS)
        self._alive.release()
        self._keeper.end()

    def _run(self) -> None:
        due = time.monotonic() + LOOK_SECONDS  # the shipper starts when the service is ready
        self._attempt(self._open)
        while not self._ending.wait(FLUSH_SECONDS):
            self._attempt(self._writer.flush)
            self._attempt(self._writer.rotate)
            if time.monotonic() >= due:
                due = time.monotonic() + LOOK_SECONDS
                self._attempt(self._look)

    def _open(self) -> None:
        if self._alive is None or not self.spool.folder.exists():
            self._alive = self.spool.create()

    def _look(self) -> None:
        self._open()
        self._writer.look()
        self._keeper.look()

    def _attempt(self, step: Callable[[], None]) -> None:
        """Take a step; whatever it raises, the next one is taken too."""
        try:
            step()
        except OSError as error:
            self._writer.tell(f"the spool cannot be used: {error}")
        except Exception:
            logger.exception("The prediction log failed")

    def _wait_for(self, *, owner: str, seconds: float) -> None:
        kinds = (LINES, ROWS)
        waiting = [path for kind in kinds for path in self.spool.segments(kind, owner=owner)]
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline and not self.spool.database_is_away():
            self._attempt(self._keeper.look)
            time.sleep(WAIT_SECONDS)
            waiting = [path for path in waiting if path.exists()]


@asynccontextmanager
async def recording(log: PredictionLog) -> AsyncIterator[None]:
    """Let a log write as long as the application runs, and give it time to end."""
    log.start()
    yield
    await asyncio.to_thread(log.stop)


def check_driver(url: str) -> None:
    """Raise MissingExtraError where a URL asks for PostgreSQL, and its driver is not installed."""
    if url.startswith("postgres") and find_spec("psycopg") is None:
        raise MissingExtraError(
            "API_PREDICTION_LOG_URL: PostgreSQL needs the package 'psycopg'; "
            "install it with: pip install '.[postgres]'"
        )
