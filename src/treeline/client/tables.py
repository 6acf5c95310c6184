"""Rows as a caller has them, a frame or records → records to send; answers → the same form."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from treeline.client.messages import Record, relabelled
from treeline.errors import InvalidInputError, Problem
from treeline.registry import resolve

TABLES = {
    "frame": "treeline.client.frames:FrameRows",
    "records": "treeline.client.tables:RecordRows",
}

Progress = Callable[[int, int], None]  # rows that are answered, of how many


class Rows(Protocol):
    """Rows of a caller."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    def records(self, start: int, end: int) -> list[dict[str, Any]]:
        """Return some rows as records of plain values, missing ones as None."""

    def label(self, row: int) -> str:
        """Return what the caller knows a row by, such as `row 3`; the first is 0."""

    def answered(self, answers: Sequence[Mapping[str, Any]]) -> Any:
        """Return the columns of all answers in the form of the rows."""


def rows_of(given: Any) -> Rows:
    """Return the rows of a frame of pandas, or of a list of records; raises InvalidInputError."""
    kind = "frame" if hasattr(given, "columns") and hasattr(given, "iloc") else "records"
    if kind == "records" and (not isinstance(given, Sequence) or isinstance(given, str | bytes)):
        said = f"a {type(given).__name__} is neither a frame of pandas nor a list of records"
        raise InvalidInputError([Problem("rows", f"{said}; one record is asked for by predict")])
    rows: Rows = resolve(TABLES, kind, place="rows", extra="train")(given)
    return rows


@dataclass(frozen=True)
class RecordRows:
    """Rows that are a list of records."""

    given: Sequence[Record]

    def __len__(self) -> int:
        return len(self.given)

    def records(self, start: int, end: int) -> list[dict[str, Any]]:
        """Return some of them."""
        return [dict(record) for record in self.given[start:end]]

    def label(self, row: int) -> str:
        """Return the number of a row, counted from 1 as the service counts."""
        return f"row {row + 1}"

    def answered(self, answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a dictionary for each row."""
        return [dict(answer) for answer in answers]


def labels(rows: Rows, start: int) -> Callable[[int], str]:
    """Return what names a row of the chunk from `start` on, by its number there from 1."""
    return lambda number: rows.label(start + number - 1)


def labelled(rows: Rows, start: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer whose reason, if it is one, names its row as the caller does."""
    if "error" not in answer:
        return dict(answer)
    return {"error": relabelled(str(answer["error"]), labels(rows, start))}


def shown(done: int, total: int) -> None:
    """Show on standard error how many rows are answered."""
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} rows", end=end, file=sys.stderr, flush=True)
