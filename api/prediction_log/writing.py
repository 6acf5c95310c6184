"""What the requests of one worker leave in memory → lines of its own segment in the spool."""

import logging
import os
import threading
import time
from collections import deque
from uuid import uuid4

from pydantic_core import to_json

from api.prediction_log.redaction import Redaction
from api.prediction_log.spool import LINES, Segment, Spool

MOST_WAITING = 100_000  # records in memory while the disk takes none; about 100 MB
LINES_AT_ONCE = 1000
SEGMENT_BYTES = 4 << 20
SEGMENT_SECONDS = 0.5
MANY_SEGMENTS = 100  # with that many waiting, nobody takes them: fewer and larger ones will do
LARGE_SEGMENT_SECONDS = 30
TELL_SECONDS = 60

Entry = tuple[float, float, bytes, bytes]

logger = logging.getLogger(__name__)


class Writer:
    """Takes records at any rate from any thread, and writes them when told to."""

    def __init__(self, spool: Spool, *, redaction: Redaction, most_bytes: int) -> None:
        """Write at most `most_bytes` to the spool, all workers together."""
        self.owner = f"{os.getpid()}-{uuid4().hex[:8]}"
        self._spool, self._redaction, self._most_bytes = spool, redaction, most_bytes
        self._queue: deque[Entry] = deque()
        self._lines: list[bytes] = []
        self._segment: Segment | None = None
        self._due = 0.0
        self._room = most_bytes
        self._many = False
        self._lock = threading.Lock()
        self._not_queued = 0
        self._not_written = 0
        self._told = -float(TELL_SECONDS)

    @property
    def lost_total(self) -> int:
        """How many records were given up."""
        return self._not_queued + self._not_written

    @property
    def waiting_records(self) -> int:
        """How many records are in memory only."""
        return len(self._queue) + len(self._lines)

    def record(self, entry: Entry) -> None:
        """Take a record; it is on disk after the next `flush`."""
        if len(self._queue) < MOST_WAITING:
            self._queue.append(entry)
        else:
            self._not_queued += 1

    def take(self, lines: list[bytes]) -> None:
        """Take lines that are ready to be written."""
        with self._lock:
            self._keep(lines)

    def look(self) -> None:
        """Find out how much room there is; raises OSError."""
        self._room = self._most_bytes - self._spool.bytes()
        self._many = len(self._spool.segments(LINES)) > MANY_SEGMENTS

    def has_room(self, payload_bytes: int) -> bool:
        """Tell whether the spool may grow by that much."""
        return payload_bytes <= self._room

    def flush(self) -> None:
        """Write what has been taken so far; what cannot be written now is kept for later."""
        with self._lock:
            self._keep([self._line(self._queue.popleft()) for _ in range(len(self._queue))])
            try:
                while self._lines:
                    self._write(b"".join(self._lines[:LINES_AT_ONCE]))
                    del self._lines[:LINES_AT_ONCE]
            except OSError as error:
                self._close()
                self.tell(f"the spool cannot be written: {error}")

    def rotate(self, *, now: bool = False) -> None:
        """Leave the segment to the shipper, if it is old enough."""
        with self._lock:
            if now or time.monotonic() >= self._due:
                self._close()

    def lose(self, count: int, reason: str) -> None:
        """Count records that are given up."""
        self._not_written += count
        self.tell(reason)

    def tell(self, reason: str) -> None:
        """Log that something is wrong, once in a while."""
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            logger.error(
                "Predictions are answered, but not recorded: %s; %d wait in memory, %d are lost",
                *(reason, self.waiting_records, self.lost_total),
            )

    def _keep(self, lines: list[bytes]) -> None:
        kept = lines[: MOST_WAITING - len(self._lines)]
        self._lines += kept
        if len(kept) < len(lines):
            self.lose(len(lines) - len(kept), "memory holds no more")

    def _write(self, payload: bytes) -> None:
        if not self.has_room(len(payload)):
            self.lose(payload.count(b"\n"), "the spool is full: API_PREDICTION_LOG_SPOOL_BYTES")
            return
        if self._segment is None:
            segment = Segment.draft(self._spool.folder, owner=self.owner, kind=LINES)
            self._segment = segment
            segment.publish()
            wait = LARGE_SEGMENT_SECONDS if self._many else SEGMENT_SECONDS
            self._due = time.monotonic() + wait
        self._segment.append(payload)
        self._room -= len(payload)
        if self._segment.bytes >= SEGMENT_BYTES:
            self._close()

    def _close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _line(self, entry: Entry) -> bytes:
        """Return the line of a record. A JSON text has line ends between its tokens only."""
        at, latency, features, answer = entry
        if self._redaction.concerns(features, answer):
            features = self._redaction.applied(features, answer)
        features = features.strip().replace(b"\n", b" ") or b"null"
        return b'{"time":%r,"latency":%r,"features":%b,"answer":%b}\n' % (
            *(at, latency, features, answer),
        )


def feedback_line(*, at: float, prediction_id: str, truth: object) -> bytes:
    """Return the line of a truth."""
    return to_json({"time": at, "feedback": {"id": prediction_id, "truth": truth}}) + b"\n"
