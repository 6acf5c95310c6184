"""Rows of the log → JSON lines or CSV, page by page."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from api.visible import without_formula

Row = dict[str, Any]
Pages = Iterator[list[Row]]

COLUMNS = (
    "id",
    "time",
    "model",
    "version",
    "features",
    "prediction",
    "probability",
    "probabilities",
    "latency_seconds",
    "truth",
    "truth_time",
    "key",
)
DOCUMENTS = ("features", "prediction", "probabilities", "truth")
TIMES = ("time", "truth_time")
NUMBERS = ("probability", "latency_seconds")


def json_lines(pages: Pages, _folder: Path) -> Iterator[bytes]:
    """Yield one JSON object a row, one row a line."""
    for page in pages:
        yield "".join(json_line(row) for row in page).encode()


def json_line(row: Row) -> str:
    """Return a row as JSON; its documents are JSON already."""
    told = row | {name: iso(row[name]) for name in TIMES}
    parts = []
    for name in COLUMNS:
        value = told[name]
        if value is None:
            text = "null"
        elif name in DOCUMENTS:
            text = value
        elif name in NUMBERS:
            text = repr(value)
        else:
            text = to_json(value).decode()
        parts.append(f'"{name}":{text}')
    return "{" + ",".join(parts) + "}\n"


def csv_lines(pages: Pages, _folder: Path) -> Iterator[bytes]:
    """Yield a header, then one line a row; what is null is empty."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    yield written.getvalue().encode()
    for page in pages:
        written.seek(0)
        written.truncate()
        writer.writerows(cells(row) for row in page)
        yield written.getvalue().encode()


def cells(row: Row) -> list[Any]:
    """Return the cells of a row: plain texts and numbers, objects as JSON."""
    told = row | {name: iso(row[name]) for name in TIMES}
    told |= {name: plain(row[name]) for name in ("prediction", "truth")}
    return [cell(told[name]) for name in COLUMNS]


def cell(value: Any) -> Any:
    """Return a value as a cell that no program takes for a formula."""
    return without_formula(value) if isinstance(value, str) else value


def plain(document: str | None) -> str | None:
    """Return a JSON text as a cell shows it: a text without its quotation marks."""
    if document is None or not document.startswith('"'):
        return document
    text: str = from_json(document)
    return text


def iso(seconds: float | None) -> str | None:
    """Return a time as ISO 8601, in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
