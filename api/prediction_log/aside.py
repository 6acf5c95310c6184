"""What no database can take → files in the state folder, on the disk before the spool forgets it.

An operator finds there what was damaged or refused, may mend it, and removes it. How many such
files there are is a metric: nothing disappears without a word.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic_core import to_json

from api.prediction_log.spool import SET_ASIDE, Spool, sync_folder

PREDICTIONS = f"{SET_ASIDE}predictions.jsonl"
TRUTHS = f"{SET_ASIDE}truths.jsonl"
ODD = f"{SET_ASIDE}lines.jsonl"
MOST_SHOWN = 3  # reasons in one line of the log

logger = logging.getLogger(__name__)


class Aside:
    """Keeps what is taken out of a spool."""

    def __init__(self, spool: Spool) -> None:
        self._folder = spool.folder.parent

    def rows(self, rows: Sequence[dict[str, object]], *, name: str, reason: object) -> None:
        """Keep rows that the database refuses, or that contradict the model; raises OSError."""
        self._append(name, [to_json(row) for row in rows])
        shown = ", ".join(str(row["id"]) for row in rows[:MOST_SHOWN])
        more = " and others" if len(rows) > MOST_SHOWN else ""
        logger.error(
            "%d rows cannot be kept in the prediction log (%s%s): %s; they are in %s",
            *(len(rows), shown, more, reason, self._folder / name),
        )

    def lines(self, lines: Sequence[bytes]) -> None:
        """Keep lines that cannot be read, byte for byte; raises OSError."""
        self._append(ODD, lines)
        logger.error(
            "%d lines of the prediction log cannot be read; they are in %s",
            *(len(lines), self._folder / ODD),
        )

    def segment(self, path: Path, *, lost_rows: int, reason: str) -> None:
        """Take a damaged segment out of the spool, whole; raises OSError."""
        kept = self._folder / f"{SET_ASIDE}{path.name}"
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.rename(kept)
        sync_folder(self._folder)
        logger.error(
            "A segment of the prediction log is damaged: %s; at least %d rows of it are not in "
            "the database, all others are; it is kept in %s",
            *(reason, lost_rows, kept),
        )

    def _append(self, name: str, lines: Sequence[bytes]) -> None:
        path = self._folder / name
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        with open(descriptor, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._folder)
