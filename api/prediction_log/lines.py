"""Lines of a segment → rows for the database: each is checked whole, what is odd is set apart.

A line that was torn by a power cut, or that no release writes, must hold up neither the lines
behind it nor the database.
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from pydantic_core import from_json, to_json

from treeline.contract.features import ANSWER_KEYS

Row = dict[str, Any]


@dataclass
class Content:
    """What a segment of lines holds: predictions, the last truth of each id, and what is odd."""

    rows: list[Row] = field(default_factory=list)
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
            content.rows.append(with_documents(_row(entry)))
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
