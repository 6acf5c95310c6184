"""Segments of the spool → the database, in the order of time; a segment goes when it is there.

A death in between leads to a replay: what is there already stays as it is.
"""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json
from sqlalchemy.exc import DataError, IntegrityError

from api.prediction_log.database import Database
from api.prediction_log.rows import read_frames, rows_of
from api.prediction_log.spool import LINES, ROWS, Spool

Row = dict[str, Any]

PART_ROWS = 5_000
DAY_SECONDS = 86_400
FORGET_SECONDS = 3600.0
OWN_KEYS = frozenset({"id", "model", "version", "probability", "probabilities"})
REFUSED = "refused-predictions.jsonl"

logger = logging.getLogger(__name__)


class Shipping:
    """Takes one step after the other; raises SQLAlchemyError while the database is away."""

    def __init__(self, spool: Spool, database: Database, *, retention_days: float) -> None:
        self._spool, self._database = spool, database
        self._retention_seconds = retention_days * DAY_SECONDS
        self._forget_at = 0.0
        self._batch: Batch | None = None

    def step(self) -> bool:
        """Do the next thing there is to do; tell whether there was any.

        Single predictions come first: they do not wait for a batch of a million rows.
        """
        try:
            self._database.prepare()
            return self._ship_lines() or self._ship_rows() or self._forget()
        except Exception:
            self._database.doubt()
            raise

    def _ship_lines(self) -> bool:
        for path in self._spool.segments(LINES):
            if (file := self._spool.claimed(path)) is None:
                continue
            with file:
                rows, truths = read_lines(file.read())
                for start in range(0, len(rows), PART_ROWS):
                    self._add(rows[start : start + PART_ROWS], [])
                self._add([], truths)
                path.unlink()
            return True
        return False

    def _ship_rows(self) -> bool:
        batch = self._batch or self._claimed_batch()
        if batch is None:
            return False
        self._batch = batch
        try:
            rows = batch.part()
        except (ArithmeticError, LookupError, TypeError, ValueError):
            logger.exception("A batch cannot be read; it is kept in %s", batch.put_aside())
            self._batch = None
            return True
        if rows:
            self._add(rows, [])
            batch.done()
        else:
            batch.end()
            self._batch = None
        return True

    def _claimed_batch(self) -> "Batch | None":
        for path in self._spool.segments(ROWS):
            if (file := self._spool.claimed(path)) is not None:
                return Batch(path, file)
        return None

    def _forget(self) -> bool:
        if not self._retention_seconds or time.monotonic() < self._forget_at:
            return False
        self._spool.remove_abandoned()
        if self._database.forget(before=time.time() - self._retention_seconds, most=PART_ROWS):
            return True
        self._forget_at = time.monotonic() + FORGET_SECONDS
        return False

    def _add(self, rows: list[Row], truths: list[Row]) -> None:
        try:
            self._database.add(rows, truths)
        except (DataError, IntegrityError) as error:
            # Something in it will never be taken; the rest must not wait for it for ever.
            if len(rows) + len(truths) == 1:
                self._refuse((rows or truths)[0], error)
                return
            for row in rows:
                self._add([row], [])
            for truth in truths:
                self._add([], [truth])

    def _refuse(self, row: Row, error: Exception) -> None:
        path = self._spool.folder.parent / REFUSED
        logger.error("The database refuses %s (%s); it is kept in %s", row["id"], error, path)
        with path.open("ab") as kept:
            kept.write(to_json(row) + b"\n")


class Batch:
    """A segment of rows on its way: the part that is next, until there is none."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._parts = parts_of(file)
        self._part: list[Row] | None = None

    def part(self) -> list[Row]:
        """Return the next rows, the same ones until `done` is called; none at the end."""
        if self._part is None:
            self._part = next(self._parts, [])
        return self._part

    def done(self) -> None:
        """Go on: this part is in the database."""
        self._part = None

    def end(self) -> None:
        """Remove the segment."""
        self._path.unlink()
        self._file.close()

    def put_aside(self) -> Path:
        """Take the segment out of the spool, and return where it is."""
        aside = self._path.parent.parent / f"refused-{self._path.name}"
        self._path.rename(aside)
        self._file.close()
        return aside


def parts_of(file: BinaryIO) -> Iterator[list[Row]]:
    """Yield the rows of a segment as the database takes them."""
    for frame in read_frames(file):
        for rows in rows_of(frame, part_rows=PART_ROWS):
            yield [with_documents(row) for row in rows]


def read_lines(payload: bytes) -> tuple[list[Row], list[Row]]:
    """Return the predictions and the truths of a segment of lines; a torn end is left out."""
    rows, truths, unreadable = [], {}, 0
    for line in payload.split(b"\n")[:-1]:
        try:
            entry = from_json(line)
            if "feedback" in entry:
                truth = entry["feedback"]
                document = to_json(truth["truth"]).decode()
                truths[truth["id"]] = {"id": truth["id"], "time": entry["time"], "truth": document}
            else:
                rows.append(with_documents(row_of(entry)))
        except (ValueError, TypeError, KeyError):  # as after a power cut
            unreadable += 1
    if unreadable:
        logger.error("%d lines of a segment cannot be read, and are left out", unreadable)
    return rows, list(truths.values())


def row_of(entry: Row) -> Row:
    """Return the prediction that one line tells of."""
    answer = entry["answer"]
    predicted = {key: value for key, value in answer.items() if key not in OWN_KEYS}
    return {
        "id": answer["id"],
        "time": entry["time"],
        "model": answer["model"],
        "version": answer["version"],
        "features": entry["features"],
        # One target: its value; models that give several outputs: all of them.
        "prediction": predicted.popitem()[1] if len(predicted) == 1 else predicted,
        "probability": answer.get("probability"),
        "probabilities": answer.get("probabilities"),
        "latency_seconds": entry["latency"],
    }


def with_documents(row: Row) -> Row:
    """Return a row with JSON texts, as the database takes it."""
    shares = row["probabilities"]
    return row | {
        "time": round(row["time"], 6),  # as exports show it, so that one can be asked for
        "features": to_json(row["features"]).decode(),
        "prediction": to_json(row["prediction"]).decode(),
        "probabilities": None if shares is None else to_json(shares).decode(),
    }
