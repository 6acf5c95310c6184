"""`training.json`: who competed, with which settings, and who won."""

import json
import re
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from treeline.files import write_text
from treeline.records.reading import read_record

NUMBERS = re.compile(r"\[\n\s+([-+.,\deE\s]+?)\s+\]")  # a list of numbers alone in indented JSON

Folds = dict[str, list[float]]  # the value on each fold, by the name of the metric


class TrialRecord(TypedDict):
    """One setting that was tried, and its metrics on the folds."""

    hyperparameters: dict[str, Any]
    folds: Folds


class CandidateRecord(TypedDict):
    """A candidate with its best setting; `left_out` says what could not be tried, and why."""

    trainer: str
    estimator: str
    hyperparameters: dict[str, Any]
    folds: Folds
    trials: list[TrialRecord]
    left_out: NotRequired[dict[str, str]]


class LearntRecord(TypedDict):
    """From how many rows the exported model learns, of the training split or of all rows."""

    rows: int
    refit: str


class Training(TypedDict):
    """The whole file; `digests` are the SHA-256 of the pickles beside it, by their names."""

    champion: str
    metric: str
    candidates: dict[str, CandidateRecord]
    learnt: NotRequired[LearntRecord]
    digests: NotRequired[dict[str, str]]


def read_training(path: Path) -> Training:
    """Return what a train stage wrote; raises FileNotFoundError and RecordError."""
    return read_record(path, Training)


def write_training(path: Path, document: Training) -> None:
    """Write the record of a training, whole or not at all."""
    write_text(path, text_of_training(document))


def text_of_training(document: Training) -> str:
    """Return the JSON of a record, indented, with the folds of a metric on one line."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return (
        NUMBERS.sub(lambda match: "[" + ", ".join(match[1].replace(",", " ").split()) + "]", text)
        + "\n"
    )
