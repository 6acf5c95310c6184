"""The query of an export, and rows of the log as JSON lines or CSV, page by page."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError, from_json, to_json

from api.errors import NotAcceptableError
from api.http.echoes import without_formula
from api.http.media_types import preferred

MEDIA_TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
ANY = {"*/*": "jsonl", "application/*": "jsonl", "text/*": "csv", "application/jsonl": "jsonl"}
ZONE_AFTER_SPACE = re.compile(r" (\d\d:?\d\d)$")  # a `+` that was not encoded arrives as a space

FormatName = Literal["jsonl", "csv", "parquet"]


def _seconds(given: object) -> object:
    """Return a time as seconds since 1970."""
    text = ZONE_AFTER_SPACE.sub(r"+\1", str(given))
    try:
        seconds = float(text)
    except ValueError:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            time = datetime.min
        seconds = float("nan") if time.tzinfo is None else time.timestamp()
    if not isfinite(seconds):
        raise PydanticCustomError(
            "time", "Input should be a time with its zone, as 2030-01-31T12:00:00Z, or seconds"
        )
    return seconds


Time = Annotated[
    float | None,
    BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}),
]
TEXT_PATTERN = r"^[\x20-\x7e]{1,200}$"
Text = Annotated[str | None, Field(pattern=TEXT_PATTERN)]


class PredictionQuery(BaseModel):
    """Which predictions are wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: Time = Field(None, description="From this time on: ISO 8601, or seconds since 1970")
    until: Time = Field(None, description="Before this time")
    model: Text = Field(None, description="Only of this model")
    version: Text = Field(None, description="Only of this version")
    id: Text = Field(None, description="Only the one with this id")
    format: FormatName | None = Field(None, description="Instead of the header `Accept`")


def format_of(query: PredictionQuery, accept: str) -> str:
    """Return the format to answer in; raises NotAcceptableError."""
    if query.format is not None:
        return query.format
    known = ANY | {media_type: name for name, media_type in MEDIA_TYPES.items()}
    for media_range in preferred(accept):
        if media_range in known:
            return known[media_range]
    raise NotAcceptableError(
        f"The Accept is {accept!r}; accept one of: {', '.join(MEDIA_TYPES.values())}."
    )


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
    document = row | {name: iso(row[name]) for name in TIMES}
    parts = []
    for name in COLUMNS:
        value = document[name]
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
    document = row | {name: iso(row[name]) for name in TIMES}
    document |= {name: plain(row[name]) for name in ("prediction", "truth")}
    return [cell(document[name]) for name in COLUMNS]


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
