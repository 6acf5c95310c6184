"""What the requests of one worker leave in memory goes to its own segments in the spool.

Predictions and truths are lines, the rows of batches frames; a worker has one segment open of each
kind, so that however many small requests there are, few segments wait.

`API_PREDICTION_LOG_REDACT` names features that are never recorded. Names are compared after the
JSON was read, never in its bytes: one name can be written in many ways (`"S\\u006fil"`), twice in
one object, or as the `name` of a tensor.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pydantic_core import from_json, to_json

from api.prediction_log.spool import LINES, ROWS, Segment, Spool
from treeline.contract.features import Label, key_text

UNREADABLE = b"null"
NAME = "name"
OF_A_TENSOR = frozenset({NAME, "datatype", "shape"})  # what stays of one that is redacted


class Redaction:
    """Which features must not reach the disk: `Soil` of every model, `tree-survival.Soil` of one.

    The name of a feature may have a dot in it. Where an entry can be read both ways, it is.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._everywhere = frozenset(entries)
        self._of_one: dict[str, set[str]] = {}
        for entry in self._everywhere:
            model, dot, feature = entry.partition(".")
            if dot:
                self._of_one.setdefault(model, set()).add(feature)
        self.active = bool(self._everywhere)
        """Whether anything is redacted at all; where it is not, nothing need be read."""

    def of(self, model: str) -> frozenset[str]:
        """Return the names that are not recorded of a model; it need not have them."""
        return self._everywhere | self._of_one.get(model, set())

    def applied(self, features: bytes, answer: bytes) -> bytes:
        """Return the JSON of what was asked with null in the place of what is not recorded.

        It is written anew from what was read, so nothing of its bytes stays. Where it cannot be
        read, none of it is recorded.
        """
        try:
            record, model = from_json(features), str(from_json(answer).get("model"))
        except ValueError:
            return UNREADABLE
        return to_json(without(record, self.of(model)))


def without(value: Any, hidden: Collection[str]) -> Any:
    """Return a value of JSON with null for what has a hidden name, however deep it stands.

    A name is a key, or the `name` of an object that describes a tensor.
    """
    if isinstance(value, list):
        return [without(each, hidden) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get(NAME), str) and value[NAME] in hidden:
        return {key: each if key in OF_A_TENSOR else None for key, each in value.items()}
    return {key: None if key in hidden else without(each, hidden) for key, each in value.items()}


MOST_WAITING = 100_000  # records in memory while the disk takes none; about 100 MB
LINES_AT_ONCE = 1000
SEGMENT_BYTES = 4 << 20
SEGMENT_SECONDS = 0.5
MANY_SEGMENTS = 100  # with that many waiting, nobody takes them: fewer and larger ones will do
LARGE_SEGMENT_SECONDS = 30
RETRY_SECONDS = 1.0  # after the disk took nothing: to try at every turn would help nobody
TELL_SECONDS = 60

Entry = tuple[float, float, bytes, bytes, str | None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthEntry:
    """What proved to be true of a prediction, by its id, or of all with a key of a model.

    `place` is where the truth stood in the body.
    """

    place: str
    truth: Label
    id: str | None = None
    key: str | None = None
    model: str | None = None


class OpenSegment:
    """The segment of one kind that a worker writes now, if it writes any."""

    def __init__(self, spool: Spool, *, owner: str, kind: str) -> None:
        self._spool, self._owner, self._kind = spool, owner, kind
        self._segment: Segment | None = None
        self._due = 0.0

    def append(self, payload: bytes, *, seconds: float, settled: bool = False) -> None:
        """Write a payload, and with `settled` wait until the disk has it; raises OSError.

        A segment gets its name with its first content: a full disk holds no empty ones. It is
        left to the shipper `seconds` after it was begun.
        """
        segment = self._segment or Segment.draft(
            self._spool.folder, owner=self._owner, kind=self._kind
        )
        try:
            segment.append(payload)
            if self._segment is None:
                segment.publish()
        except OSError:
            if self._segment is None:
                segment.close()
            raise
        if self._segment is None:
            self._segment, self._due = segment, time.monotonic() + seconds
        if settled:
            segment.settle()
        if segment.bytes >= SEGMENT_BYTES:
            self.close()

    def rotate(self) -> None:
        """Leave the segment to the shipper, if it is old enough."""
        if time.monotonic() >= self._due:
            self.close()

    def close(self) -> None:
        """Leave the segment to the shipper."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class Writer:
    """Takes records at any rate from any thread, and writes them when told to."""

    def __init__(self, spool: Spool, *, redaction: Redaction, most_bytes: int) -> None:
        """Write at most `most_bytes` to the spool, all workers together."""
        self.owner = f"{os.getpid()}-{uuid4().hex[:8]}"
        self._spool, self._redaction, self._most_bytes = spool, redaction, most_bytes
        self._queue: deque[Entry] = deque()
        self._lines: list[bytes] = []
        self._open = {
            kind: OpenSegment(spool, owner=self.owner, kind=kind) for kind in (LINES, ROWS)
        }
        self._room = most_bytes
        self._many = False
        self._retry_at = 0.0
        self._lock = threading.Lock()
        self._not_queued = 0
        self._not_written = 0
        self._logged_at = -float(TELL_SECONDS)
        self.waiting_bytes = 0
        """How much of all workers waited on disk at the last look, and what came of ours since."""
        self.set_aside = 0
        """How many files no database could take, at the last look."""

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

    def look(self) -> None:
        """Find out how much room there is; raises OSError."""
        waiting = self._spool.look()
        self.waiting_bytes = waiting.bytes
        self.set_aside = self._spool.set_aside()
        self._room = self._most_bytes - waiting.bytes
        self._many = waiting.count() > MANY_SEGMENTS

    def has_room(self, payload_bytes: int) -> bool:
        """Tell whether the spool may grow by that much."""
        return payload_bytes <= self._room

    def take_room(self, payload_bytes: int) -> None:
        """Count what somebody else has written to the spool."""
        self._room -= payload_bytes
        self.waiting_bytes += payload_bytes

    def write(self, payload: bytes, *, kind: str, settled: bool = False) -> None:
        """Write a payload at once, and with `settled` wait until the disk has it.

        Raises OSError, and has written none of it or is not certain of all.
        """
        with self._lock:
            self._append(payload, kind=kind, settled=settled)

    def flush(self, *, now: bool = False) -> None:
        """Write what has been taken so far; what cannot be written now is kept for later.

        After a failure the disk is left alone for a moment, unless `now`.
        """
        with self._lock:
            self._keep([self._line(self._queue.popleft()) for _ in range(len(self._queue))])
            if not now and time.monotonic() < self._retry_at:
                return
            try:
                while self._lines:
                    self._write(b"".join(self._lines[:LINES_AT_ONCE]))
                    del self._lines[:LINES_AT_ONCE]
            except OSError as error:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                self._open[LINES].close()
                self.log_loss(f"the spool cannot be written: {error}")

    def rotate(self, *, now: bool = False) -> None:
        """Leave segments to the shipper that are old enough, or all."""
        with self._lock:
            for each in self._open.values():
                if now:
                    each.close()
                else:
                    each.rotate()

    def lose(self, count: int, reason: str) -> None:
        """Count records that are given up."""
        self._not_written += count
        self.log_loss(reason)

    def log_loss(self, reason: str) -> None:
        """Log that something is wrong, once in a while."""
        if time.monotonic() - self._logged_at >= TELL_SECONDS:
            self._logged_at = time.monotonic()
            logger.error(
                "Predictions are answered, but not recorded: %s; %d wait in memory, %d are lost",
                *(reason, self.waiting_records, self.lost_total),
            )

    def _keep(self, lines: list[bytes]) -> None:
        fitting = lines[: MOST_WAITING - len(self._lines)]
        self._lines += fitting
        if len(fitting) < len(lines):
            self.lose(len(lines) - len(fitting), "memory holds no more")

    def _write(self, payload: bytes) -> None:
        if not self.has_room(len(payload)):
            self.lose(payload.count(b"\n"), "the spool is full: API_PREDICTION_LOG_SPOOL_BYTES")
            return
        self._append(payload, kind=LINES)

    def _append(self, payload: bytes, *, kind: str, settled: bool = False) -> None:
        seconds = LARGE_SEGMENT_SECONDS if self._many else SEGMENT_SECONDS
        self._open[kind].append(payload, seconds=seconds, settled=settled)
        self.take_room(len(payload))

    def _line(self, entry: Entry) -> bytes:
        """Return the line of a record. A JSON text has line ends between its tokens only."""
        at, latency, features, answer, name = entry
        if self._redaction.active:
            features = self._redaction.applied(features, answer)
        own = b""
        if name is not None:
            features, own = without_key(features, name)
        features = features.strip().replace(b"\n", b" ") or b"null"
        return b'{"time":%r,"latency":%r,%b"features":%b,"answer":%b}\n' % (
            *(at, latency, own, features, answer),
        )


def without_key(features: bytes, name: str) -> tuple[bytes, bytes]:
    """Return the JSON of a record without the caller's own key, and the member that says it."""
    record = from_json(features)
    if not isinstance(record, dict):
        return features, b""
    key = key_text(record.pop(name, None))
    return to_json(record), b"" if key is None else b'"key":%b,' % to_json(key)


def feedback_line(entry: TruthEntry, *, at: float) -> bytes:
    """Return the line of a truth."""
    named = {"id": entry.id} if entry.id is not None else {"key": entry.key, "model": entry.model}
    return to_json({"time": at, "feedback": named | {"truth": entry.truth}}) + b"\n"
