"""The files of a job as declarations: what is ordered, how it ran, how it ended, where it led."""

import re
import secrets
import time
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from treeline.contract.features import Closed
from treeline.contract.signature import Sha256
from treeline.contract.texts import Slug
from treeline.jobs.exits import Reason

ID_PATTERN = "^[0-9a-f]{32}$"
ID = re.compile(ID_PATTERN)
MOST_DETAIL = 2000  # characters of why a job ended as it did

Kind = Literal["script", "declaration"]
State = Literal["queued", "running", "checking", "done", "failed", "cancelled"]
Outcome = Literal["done", "failed", "cancelled"]
Text = Annotated[str, Field(max_length=MOST_DETAIL)]


class Order(Closed):
    """`job.json`: what was asked for, by whose key; `files` are the inputs with their digests."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    owner: str
    model: Slug
    kind: Kind
    network: bool = False
    received: datetime
    files: dict[str, Sha256]


class Run(Closed):
    """`run.json`: when a runner began, by which image, and when that ended."""

    image: str
    started: datetime
    ended: datetime | None = None


class Ending(Closed):
    """`ending.json`: how a job ended; `version` is that of the model that is served."""

    state: Outcome
    reason: Reason | None = None
    detail: Text = ""
    version: str | None = None
    ended: datetime


class JobLineage(Closed):
    """What an uploaded model was made by, where a job made it."""

    id: str
    owner: str
    kind: Kind
    image: str
    files: dict[str, Sha256]


def new_id() -> str:
    """Return an id that nobody can guess, and that is greater than earlier ones."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def cut(text: str) -> str:
    """Return a text that a detail may be."""
    return text if len(text) <= MOST_DETAIL else f"{text[: MOST_DETAIL - 1]}…"
