"""A look at a model, and what is known of the one before → what follows from it. Pure.

An issue is the memory: its text says by a mark which model it is about, and when a training was
started for it last. People may edit it: what cannot be read there is not remembered.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from treeline.config.monitor import seconds_of
from treeline.monitoring.record import Record

Change = Literal["none", "open", "update", "close"]

TRAINED = re.compile(r"<!-- trained: (\S+) -->")
ABOUT = re.compile(r"<!-- treeline: monitor, model (\S+) -->")
MOST_CHARACTERS = 60_000  # of a report: GitHub takes 65,536 in a text
UNREADABLE = "<!-- treeline: monitor, log -->"


@dataclass(frozen=True)
class Response:
    """What is done about a model: with its issue, of which `text` is the new one, and a training.

    `reason` says in words why a training is started, or why it is not; empty where none is wanted.
    """

    model: str
    change: Change
    text: str = ""
    train: bool = False
    reason: str = ""

    @property
    def title(self) -> str:
        """The title of the issue."""
        return f"{self.model} is not as it was promised"


def mark_of(model: str) -> str:
    """Return by what the issue of a model is found again."""
    return f"<!-- treeline: monitor, model {model} -->"


def model_of(text: str) -> str | None:
    """Return which model the text of an issue is about, None where it is about none."""
    mark = ABOUT.match(text.lstrip())
    return mark[1] if mark else None


def wants_training(record: Record) -> bool:
    """Tell whether a training is declared as what follows from a look."""
    return record.state == "alarm" and record.action == "retrain"


@dataclass(frozen=True)
class Circumstances:
    """What a response depends on beside the look itself.

    `earlier` is the text of the open issue of the model, None without one, and `closed` are those
    of issues that are closed. `report` is Markdown, `stale` are the reasons for which a training of
    the model is due now that its source was asked again, `obstacle` says what keeps it from being
    trained all the same, `every` is how often at most an alarm trains, and `run` the address of
    this run, empty by hand.
    """

    earlier: str | None
    report: str
    stale: Sequence[str]
    every: str
    now: datetime
    run: str = ""
    obstacle: str = ""
    closed: Sequence[str] = ()

    @property
    def trained(self) -> datetime | None:
        """When an alarm started a training last; one that has not come yet was a clock ahead."""
        texts = [self.earlier or "", *self.closed]
        known = [each for each in map(_trained, texts) if each is not None and each <= self.now]
        return max(known, default=None)


def response_to(record: Record, known: Circumstances) -> Response:
    """Return what follows from a look."""
    model = record.model
    if record.state == "quiet":
        if known.earlier is None:
            return Response(model, "none")
        words = f"The last look is quiet again, at {known.now:%Y-%m-%d %H:%M} UTC{_at(known.run)}."
        return Response(model, "close", _text(model, words, known.report, known.trained))
    if record.state != "alarm" or record.action == "none":
        return Response(model, "none")
    trained, train, reason = known.trained, False, ""
    if wants_training(record):
        train, reason = _training(known)
        trained = known.now if train else trained
    words = f"The last look alarms, at {known.now:%Y-%m-%d %H:%M} UTC{_at(known.run)}."
    if reason:
        words += f" {reason}"
    change: Change = "open" if known.earlier is None else "update"
    return Response(model, change, _text(model, words, known.report, trained), train, reason)


def unreadable(message: str, *, now: datetime, run: str) -> str:
    """Return the text of the issue about a log that cannot be read."""
    when = f"{now:%Y-%m-%d %H:%M} UTC"
    return (
        f"{UNREADABLE}\n\nNothing can be said of the models in service: their log could not be "
        f"read, the last time at {when}{_at(run)}.\n\n```\n{message.strip()}\n```\n"
    )


def forgotten(model: str, *, now: datetime) -> str:
    """Return the text of the issue of a model that is declared no more."""
    return f"{mark_of(model)}\n\n`{model}` is declared no more, at {now:%Y-%m-%d %H:%M} UTC.\n"


def _training(known: Circumstances) -> tuple[bool, str]:
    if known.obstacle:
        return False, f"No training is started: {known.obstacle.rstrip('.')}."
    if not known.stale:
        return False, (
            "No training is started, for it would learn from the same rows: neither the source of "
            "the model nor its declaration has changed. Truths that come in are rows where the "
            "source is `predictions`."
        )
    trained = known.trained
    if trained is not None and (known.now - trained).total_seconds() < seconds_of(known.every):
        return False, (
            f"No training is started: the last one was at {trained:%Y-%m-%d %H:%M} UTC, and "
            f"`every: {known.every}` is declared."
        )
    return True, f"A training is started: {'; '.join(known.stale)}."


def _trained(text: str) -> datetime | None:
    """Return when an alarm started a training last, as the text of an issue remembers it.

    What stands below its head is a report, and no memory.
    """
    noted = TRAINED.search(text.lstrip().replace("\r\n", "\n").partition("\n\n")[0])
    try:
        return datetime.fromisoformat(noted[1]).astimezone(UTC) if noted else None
    except (OverflowError, ValueError):
        return None


def _text(model: str, words: str, report: str, trained: datetime | None) -> str:
    memory = "" if trained is None else f"\n<!-- trained: {trained.isoformat()} -->"
    body = report.strip()
    if len(body) > MOST_CHARACTERS:
        body = f"{body[:MOST_CHARACTERS]}\n\n… the rest is in the files of the run."
    return f"{mark_of(model)}{memory}\n\n{words}\n\n{body}\n"


def _at(run: str) -> str:
    return f", in {run}" if run else ""
