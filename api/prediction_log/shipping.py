"""Segments of the spool go to the database, in the order of time; then they are removed.

A death in between leads to a replay: what is there already stays as it is. The folder is listed
once for many segments, and small ones share a transaction: what it takes grows as what waits. Each
line is checked whole: one that was torn by a power cut, or that no release writes, is set apart,
and holds up neither the lines behind it nor the database.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json
from sqlalchemy.exc import DataError, IntegrityError, StatementError

from api.prediction_log.clock import CLOCKS, Clocks, TrustedClock
from api.prediction_log.database import Database
from api.prediction_log.recent import Recent, Tallies, add_to
from api.prediction_log.rows import Damage, read_frames, rows_of
from api.prediction_log.spool import KINDS, LINES, PREDICTIONS, ROWS, TRUTHS, Aside, Spool
from treeline.contract.features import ANSWER_KEYS

Row = dict[str, Any]


@dataclass
class Content:
    """What segments of lines hold: predictions, the last truth of each id, and what is odd.

    `rows` are as the database takes them, `plain` the same before they became documents.
    """

    rows: list[Row] = field(default_factory=list)
    plain: list[Row] = field(default_factory=list)
    truths: dict[tuple[str, ...], Row] = field(default_factory=dict)
    odd: list[bytes] = field(default_factory=list)

    def add_truth(self, truth: Row) -> None:
        """Keep a truth unless a later one of the same name is there; of equal ones, the last."""
        name = (truth["id"],) if "id" in truth else (truth["model"], truth["key"])
        before = self.truths.get(name)
        if before is None or truth["time"] >= before["time"]:
            self.truths[name] = truth


def read_lines(payload: bytes, content: Content) -> None:
    """Add the lines of a segment to what others held; a torn end is odd too."""
    for line in payload.split(b"\n"):
        if line:
            _read(line, content)


def _read(line: bytes, content: Content) -> None:
    try:
        entry = from_json(line)
        if "feedback" in entry:
            content.add_truth(_truth(entry))
        else:
            row = _row(entry)
            content.rows.append(with_documents(row))
            content.plain.append(row)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        content.odd.append(line)


def _truth(entry: Row) -> Row:
    truth = entry["feedback"]
    names = ("id",) if "id" in truth else ("model", "key")
    return {
        **{name: _text(truth[name]) for name in names},
        "time": _number(entry["time"]),
        "truth": to_json(truth["truth"]).decode(),
    }


def _row(entry: Row) -> Row:
    """Return the prediction that one line tells of; raises ValueError for what is none."""
    answer = entry["answer"]
    predicted = {key: value for key, value in answer.items() if key not in ANSWER_KEYS}
    probability, key = answer.get("probability"), entry.get("key")
    return {
        "id": _text(answer["id"]),
        "time": _number(entry["time"]),
        "model": _text(answer["model"]),
        "version": _text(answer["version"]),
        "features": entry["features"],
        # One target: its value; models that give several outputs: all of them.
        "prediction": predicted.popitem()[1] if len(predicted) == 1 else predicted,
        "probability": None if probability is None else _number(probability),
        "probabilities": answer.get("probabilities"),
        "latency_seconds": _number(entry["latency"]),
        "key": None if key is None else _text(key),
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    value.encode()  # a lone half of a surrogate pair is in no database
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError(f"{type(value).__name__} is no number")
    return float(value)


def with_documents(row: Row) -> Row:
    """Return a row with JSON texts, as the database takes it."""
    shares = row["probabilities"]
    return row | {
        "time": round(row["time"], 6),  # as exports show it, so that one can be asked for
        "features": to_json(row["features"]).decode(),
        "prediction": to_json(row["prediction"]).decode(),
        "probabilities": None if shares is None else to_json(shares).decode(),
    }


PART_ROWS = 5_000
MOST_SEGMENTS = 200  # that are open at once, and go in one transaction
LIST_SECONDS = 0.25  # between two listings of a folder in which something waits
LIST_SHARE = 0.05  # of the time, at most: a crowded folder takes long to list
DAY_SECONDS = 86_400
FORGET_SECONDS = 3600.0
LOOK_SECONDS = 60.0  # between two looks at the clock
TOLERATED_SHARE = 0.1  # of the retention: a smaller step of the clock removes little too early
CLOCK = "clock"
# What a driver raises for a value it cannot pass on, beside what the database refuses.
UNACCEPTABLE = (DataError, IntegrityError, OverflowError, UnicodeError)

logger = logging.getLogger(__name__)


class Queue:
    """The segments that wait, as they were listed last."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._paths: dict[str, deque[Path]] = {kind: deque() for kind in KINDS}
        self._list_at = 0.0

    def next(self, kind: str) -> tuple[Path, BinaryIO] | None:
        """Claim the oldest segment of a kind that nobody writes; None where there is none."""
        while (paths := self._waiting(kind)) is not None:
            while paths:
                path = paths.popleft()
                if (file := self._spool.claimed(path)) is not None:
                    return path, file
        return None

    def again(self) -> None:
        """Forget what was listed: after a failure, what was claimed waits again."""
        for paths in self._paths.values():
            paths.clear()
        self._list_at = 0.0

    def _waiting(self, kind: str) -> deque[Path] | None:
        """Return the paths of a kind, listed anew where there are none; None: just listed."""
        if self._paths[kind]:
            return self._paths[kind]
        if (began := time.monotonic()) < self._list_at:
            return None
        waiting = self._spool.look()
        self._paths = {each: deque(waiting.segments[each]) for each in KINDS}
        ended = time.monotonic()
        self._list_at = ended + max(LIST_SECONDS, (ended - began) / LIST_SHARE)
        return self._paths[kind]


class LogShipper:
    """Takes one step after the other; raises SQLAlchemyError while the database is away."""

    def __init__(
        self,
        spool: Spool,
        database: Database,
        *,
        recent: Recent,
        retention_days: float,
        clocks: Clocks = CLOCKS,
    ) -> None:
        """Keep predictions for `retention_days`, for ever with 0.

        `recent` counts what has gone to the database.
        """
        self._spool, self._database, self._recent = spool, database, recent
        self._retention_seconds = retention_days * DAY_SECONDS
        self._forget_at = 0.0
        self._look_at = 0.0
        self._clock = TrustedClock(
            spool.folder / CLOCK,
            tolerance_seconds=self._retention_seconds * TOLERATED_SHARE,
            wall=clocks.wall,
            steady=clocks.steady,
        )
        self._steady = clocks.steady
        self._queue = Queue(spool)
        self._aside = Aside(spool)
        self._batches = Batches(self._queue, self._aside, recent)

    def step(self) -> bool:
        """Do the next thing there is to do; tell whether there was any.

        Single predictions come first: they do not wait for a batch of a million rows.
        """
        self._recent.write()
        try:
            self._database.prepare()
            return self._ship_lines() or self._ship_rows() or self._forget()
        except Exception:
            self._database.doubt()
            self._queue.again()
            raise

    def _ship_lines(self) -> bool:
        with ExitStack() as files:
            content = Content()
            paths: list[Path] = []
            while len(paths) < MOST_SEGMENTS and len(content.rows) < PART_ROWS:
                if (segment := self._queue.next(LINES)) is None:
                    break
                path, file = segment
                read_lines(files.enter_context(file).read(), content)
                paths.append(path)
            for start in range(0, len(content.rows), PART_ROWS):
                self._add(content.rows[start : start + PART_ROWS], [])
            self._add([], list(content.truths.values()))
            if content.odd:
                self._aside.lines(content.odd)
            self._recent.add(self._recent.counted(content.plain))
            for path in paths:
                path.unlink(missing_ok=True)
        return bool(paths)

    def _ship_rows(self) -> bool:
        rows = self._batches.rows()
        if rows:
            self._add(rows, [])
        return self._batches.done() or bool(rows)

    def _forget(self) -> bool:
        """Remove what is too old, as long as the clock may be believed."""
        if not self._retention_seconds or (steady := self._steady()) < self._look_at:
            return False
        now = self._clock.now(evidence=self._database.newest)
        self._look_at = steady + LOOK_SECONDS
        if now is None or steady < self._forget_at:
            return False
        self._spool.remove_abandoned()
        removed = self._database.forget(before=now - self._retention_seconds, most=PART_ROWS)
        if removed:
            self._look_at = 0.0
            logger.info("%d old rows are removed from the prediction log", removed)
            return True
        self._forget_at = steady + FORGET_SECONDS
        return False

    def _add(self, rows: list[Row], truths: list[Row]) -> None:
        if not rows and not truths:
            return
        try:
            self._database.add(rows, truths)
        except StatementError as error:
            if not isinstance(error, UNACCEPTABLE) and type(error) is not StatementError:
                raise
            self._add_halves(rows, truths, error)
        except UNACCEPTABLE as error:
            self._add_halves(rows, truths, error)

    def _add_halves(self, rows: list[Row], truths: list[Row], error: Exception) -> None:
        """Find what will never be taken: the rest must not wait for it for ever."""
        if len(rows) + len(truths) == 1:
            name = PREDICTIONS if rows else TRUTHS
            self._aside.rows(rows or truths, name=name, reason=type(error).__name__)
            return
        for some in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            self._add(some, [])
        for some in (truths[: len(truths) // 2], truths[len(truths) // 2 :]):
            self._add([], some)


@dataclass
class Batch:
    """One segment of rows on its way, and the counts of those that were read."""

    path: Path
    file: BinaryIO
    recent: Recent
    damage: Damage = field(default_factory=Damage)
    tallies: Tallies = field(default_factory=dict)

    def parts(self) -> Iterator[list[Row]]:
        """Yield the rows of the segment as the database takes them, as far as they can be read."""
        for frame in read_frames(self.file, self.damage):
            try:
                for rows in rows_of(frame, part_rows=PART_ROWS):
                    add_to(self.tallies, self.recent.counted(rows))
                    yield [with_documents(row) for row in rows]
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                self.damage.add(f"a frame cannot be understood: {error}")


class Batches:
    """The rows of segments, some thousand at a time: of one that is large, of many small ones."""

    def __init__(self, queue: Queue, aside: Aside, recent: Recent) -> None:
        self._queue, self._aside, self._recent = queue, aside, recent
        self._batch: Batch | None = None
        self._parts: Iterator[list[Row]] = iter(())
        self._rows: list[Row] = []
        self._read: list[Batch] = []

    def rows(self) -> list[Row]:
        """Return the next rows, the same ones until `done` is called; none where none wait."""
        while not self._rows or (len(self._rows) < PART_ROWS and len(self._read) < MOST_SEGMENTS):
            if self._batch is None and not self._begin():
                break
            part = next(self._parts, None)
            if part is not None:
                self._rows += part
            elif self._batch is not None:
                self._read.append(self._batch)
                self._batch = None
                if len(self._read) >= MOST_SEGMENTS:
                    break
        return self._rows

    def done(self) -> bool:
        """Go on: these rows are in the database. Tell whether segments were finished."""
        finished, self._read, self._rows = self._read, [], []
        for batch in finished:
            self._end(batch)
        return bool(finished)

    def _begin(self) -> bool:
        if (segment := self._queue.next(ROWS)) is None:
            return False
        self._batch = Batch(*segment, self._recent)
        self._parts = self._batch.parts()
        return True

    def _end(self, batch: Batch) -> None:
        self._recent.add(batch.tallies)
        with batch.file:
            if batch.damage.reason:
                damage = batch.damage
                self._aside.segment(batch.path, lost_rows=damage.rows, reason=damage.reason)
            else:
                batch.path.unlink(missing_ok=True)
