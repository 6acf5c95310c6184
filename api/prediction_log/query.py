"""The query of an export → which predictions are wanted, in which format."""

import re
from datetime import datetime
from math import isfinite
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.errors import NotAcceptableError

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
Text = Annotated[str | None, Field(pattern=r"^[\x20-\x7e]{1,200}$")]


class PredictionQuery(BaseModel):
    """Which predictions are wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: Time = Field(None, description="From this time on: ISO 8601, or seconds since 1970")
    until: Time = Field(None, description="Before this time")
    model: Text = Field(None, description="Only of this model")
    version: Text = Field(None, description="Only of this version")
    format: FormatName | None = Field(None, description="Instead of the header `Accept`")


def format_of(asked: PredictionQuery, accept: str) -> str:
    """Return the format to answer in; raises NotAcceptableError."""
    if asked.format is not None:
        return asked.format
    known = ANY | {media_type: name for name, media_type in MEDIA_TYPES.items()}
    for part in accept.split(",") if accept.strip() else ("*/*",):
        media_type, _, parameters = part.strip().lower().partition(";")
        if media_type in known and parameters.replace(" ", "") not in ("q=0", "q=0.0"):
            return known[media_type]
    raise NotAcceptableError(
        f"The Accept is {accept!r}; accept one of: {', '.join(MEDIA_TYPES.values())}."
    )
