"""Every prediction that is answered goes to the spool, a tenth of a second later at most.

The shipper, a process of its own, takes it from there to the database. What is on disk survives
the death of any process, and waits there while the database is away.

The rows of a batch are a draft until the batch is answered. A small batch stays in memory, and
shares a segment with others: a segment for each would bury the shipper. A larger one has a file of
its own.
"""

import asyncio
import logging
import threading
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from api.background import Lock
from api.errors import LogUnavailableError
from api.prediction_log.addresses import check_url
from api.prediction_log.clock import SteadyTime
from api.prediction_log.rows import row_count
from api.prediction_log.shipper import ShipperKeeper
from api.prediction_log.spool import LINES, ROWS, Segment, Spool, Waiting
from api.prediction_log.writing import SEGMENT_BYTES, Redaction, TruthEntry, Writer, feedback_line
from api.settings import Settings
from treeline.errors import ConfigError
from treeline.registry import resolve

if TYPE_CHECKING:
    from api.prediction_log.reading import LogReader


MOST_IN_MEMORY = 64 << 10  # bytes of one batch; a thousand may be under way


class BatchDraft:
    """Takes frames of rows; after `commit` they are recorded, all of them.

    What cannot be written is counted as lost, and the batch goes on. One thread at a time.
    """

    def __init__(self, spool: Spool, writer: Writer) -> None:
        self._spool = spool
        self._writer = writer
        self._frames: list[bytes] = []
        self._segment: Segment | None = None
        self._bytes = 0
        self._rows = 0

    def add(self, frame: bytes) -> None:
        """Take the bytes of a RowsFrame."""
        rows = row_count(frame)
        if not self._writer.has_room(len(frame) + self._bytes):
            self._writer.lose(rows, "the spool is full")
            return
        try:
            if self._segment is not None:
                self._segment.append(frame)
            else:
                self._frames.append(frame)
                if self._bytes + len(frame) > MOST_IN_MEMORY:
                    self._to_disk()
        except OSError as error:
            self._writer.lose(rows, f"the spool cannot be written: {error}")
            return
        self._bytes += len(frame)
        self._rows += rows

    def commit(self) -> None:
        """Leave the rows to the shipper: they are in the spool before this returns."""
        try:
            if self._segment is not None and self._segment.bytes >= SEGMENT_BYTES:
                self._segment.publish()
                self._writer.take_room(self._segment.bytes)
            elif payload := self._payload():
                self._writer.write(payload, kind=ROWS)
        except OSError as error:
            self._writer.lose(self._rows, f"the spool cannot be written: {error}")
        self.discard()

    def discard(self) -> None:
        """Forget what was not committed; harmless afterwards."""
        self._frames.clear()
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _payload(self) -> bytes:
        return self._segment.content() if self._segment is not None else b"".join(self._frames)

    def _to_disk(self) -> None:
        """Go on in a file; raises OSError, without the last frame."""
        segment = Segment.draft(self._spool.folder, owner=self._writer.owner, kind=ROWS)
        try:
            segment.append(b"".join(self._frames))
        except OSError:
            segment.close()
            del self._frames[-1]
            raise
        self._segment = segment
        self._frames.clear()


FLUSH_SECONDS = 0.02  # short turns: the event loop waits while one is taken
LOOK_SECONDS = 1.0
LOOK_SHARE = 0.02  # of the time of its thread, at most: a crowded folder takes long to list
WAIT_SECONDS = 0.05  # between two looks at whether segments are shipped
EXPORT_THREADS = 4  # of each worker: exports wait for each other, and nothing waits for them
LOOKUP_SECONDS = 2.0  # how long a truth waits to learn of which prediction it is
END_SECONDS = 5.0  # how long the end of a worker waits for its segments to be shipped

# SQLAlchemy takes longer to import than all the rest: a worker does without until it is asked.
READERS = {"reader": "api.prediction_log.reading:LogReader"}

Answer = TypeVar("Answer")
Row = dict[str, Any]

logger = logging.getLogger(__name__)


class Log(Protocol):
    """What records predictions."""

    @property
    def lost_total(self) -> int:
        """How many records were given up."""

    @property
    def waiting_records(self) -> int:
        """How many records are in memory only."""

    def record(
        self,
        time: float,
        latency_seconds: float,
        features: bytes,
        answer: bytes,
        key: str | None = None,
    ) -> None:
        """Take one prediction: the JSON of its record, and of its answer.

        `key` names what of the record is the caller's own key, which is no feature.
        """

    def batch(self) -> BatchDraft:
        """Return what takes the rows of one batch."""

    def redacted(self, model: str) -> frozenset[str]:
        """Return the names of features that are not recorded of a model."""

    def waiting_bytes(self) -> int:
        """Return how much waits on disk."""

    def set_aside(self) -> int:
        """Return how many files there are that the database could not take."""


class PredictionLog:
    """The log of one worker; `record` costs a microsecond and never waits."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError for a URL of no database, and MissingExtraError without a driver."""
        url = settings.prediction_log_url
        if url is not None:
            check_url(url.get_secret_value())
        self.settings = settings
        self.spool = Spool(settings.state_dir)
        self._redaction = Redaction(settings.prediction_log_redact)
        self._writer = Writer(
            self.spool,
            redaction=self._redaction,
            most_bytes=settings.prediction_log_spool_bytes,
        )
        self._keeper = ShipperKeeper(self.spool, settings)
        self._exports = ThreadPoolExecutor(EXPORT_THREADS, thread_name_prefix="export")
        self.truth_time = SteadyTime()
        """When a truth is told: it orders them, so it follows no jump of the clock."""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._alive: Lock | None = None
        self._reader: LogReader | None = None
        self._lookup: LogReader | None = None

    @property
    def lost_total(self) -> int:
        """How many records were given up, since the worker started."""
        return self._writer.lost_total

    @property
    def waiting_records(self) -> int:
        """How many records are in memory only."""
        return self._writer.waiting_records

    def waiting_bytes(self) -> int:
        """Return how much of all workers waited on disk for the database, a moment ago."""
        return self._writer.waiting_bytes

    def set_aside(self) -> int:
        """Return how many files there are that the database could not take."""
        return self._writer.set_aside

    def record(
        self,
        time: float,
        latency_seconds: float,
        features: bytes,
        answer: bytes,
        key: str | None = None,
    ) -> None:
        """Take one prediction: the JSON of its record, and of its answer.

        `key` names what of the record is the caller's own key, which is no feature.
        """
        self._writer.record((time, latency_seconds, features, answer, key))

    def feedback(self, truths: Iterable[TruthEntry], *, at: float) -> None:
        """Take what proved to be true of predictions: afterwards it is on disk.

        Raises LogUnavailableError when there is no room for it, or the disk fails.
        """
        payload = b"".join(feedback_line(each, at=at) for each in truths)
        if not self._writer.has_room(len(payload)):
            raise LogUnavailableError(
                "The spool of the prediction log is full, as its database is away. Nothing was "
                "taken; tell it again in a while.",
                seconds=60,
            )
        try:
            if payload:
                self._writer.write(payload, kind=LINES, settled=True)
        except OSError as error:
            logger.error("What proved to be true could not be written: %s", error)
            raise LogUnavailableError(
                f"The spool of the prediction log cannot be written ({error.strerror}): what was "
                "told is not kept for certain; tell it again in a while, twice does no harm.",
                seconds=60,
            ) from error
        self._writer.flush()

    def batch(self) -> BatchDraft:
        """Return what takes the rows of one batch."""
        return BatchDraft(self.spool, self._writer)

    def redacted(self, model: str) -> frozenset[str]:
        """Return the names of features that are not recorded of a model; it need not have them."""
        return self._redaction.of(model)

    def settle(self, *, seconds: float) -> Waiting:
        """Wait until all that was answered before now is in the database, but not longer.

        Returns what waits on disk all the same.
        """
        self._writer.flush()
        self._writer.rotate(now=True)
        self._wait_for(owner="", seconds=seconds)
        try:
            return self.spool.look()
        except OSError:
            return Waiting()

    def reader(self) -> "LogReader":
        """Return what reads the database; takes a while the first time."""
        if self._reader is None:
            self._reader = resolve(READERS, "reader", place="prediction log")(self.settings)
        return self._reader

    def predicted(self, ids: Collection[str]) -> dict[str, Row]:
        """Return what is recorded under ids: nothing of those that are not in the database yet.

        Nothing either while it cannot be asked, or takes long.
        """
        if not ids or self.spool.database_is_away():
            return {}
        try:
            if self._lookup is None:
                self._lookup = resolve(READERS, "reader", place="prediction log")(
                    self.settings, seconds=LOOKUP_SECONDS
                )
            return self._lookup.predicted(ids)
        except (ConfigError, LogUnavailableError):
            return {}

    async def apart(self, call: Callable[..., Answer], *arguments: Any) -> Answer:
        """Return what a call returns that asks the database: in threads of exports alone."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._exports, call, *arguments)

    async def streamed(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the chunks of an export, each made in those threads; end it where it is left."""
        try:
            while (chunk := await self.apart(next, chunks, None)) is not None:
                yield chunk
        finally:
            if isinstance(chunks, Generator):
                self._exports.submit(chunks.close)

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and give the shipper a moment to take it."""
        self._ending.set()
        self._exports.shutdown(wait=False, cancel_futures=True)
        for reader in filter(None, (self._reader, self._lookup)):
            reader.close()
        if self._thread is not None:
            self._thread.join()
        self._writer.flush(now=True)
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
            if (now := time.monotonic()) >= due:
                self._attempt(self._look)
                ended = time.monotonic()
                due = ended + max(LOOK_SECONDS, (ended - now) / LOOK_SHARE)

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
            self._writer.log_loss(f"the spool cannot be used: {error}")
        except Exception:
            logger.exception("The prediction log failed")

    def _wait_for(self, *, owner: str, seconds: float) -> None:
        try:
            waiting = self.spool.look(owner=owner).all()
        except OSError:
            return
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline and not self.spool.database_is_away():
            self._attempt(self._keeper.look)
            time.sleep(WAIT_SECONDS)
            while waiting and not waiting[-1].exists():  # most likely the last of them
                waiting.pop()


@asynccontextmanager
async def recording(log: PredictionLog) -> AsyncIterator[None]:
    """Let a log write as long as the application runs, and give it time to end."""
    log.start()
    try:
        yield
    finally:
        await asyncio.to_thread(log.stop)
