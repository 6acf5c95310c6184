"""`comparison.json`: how a candidate did beside the model in service, and who reads it."""

from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict

from treeline.files import write_json
from treeline.records.evaluation import Metrics


class Decision(TypedDict):
    """Whether the candidate may take the place, and why: a line for each metric."""

    passed: bool
    reasons: list[str]


class Contested(TypedDict):
    """The metrics of both models on the same rows, and the lead of the candidate.

    `advantage` has one key, `incumbent`. A positive lead is better, whichever way a metric points.
    """

    candidate: Metrics
    incumbent: Metrics
    advantage: dict[str, Metrics]


class Compared(Contested):
    """What the metrics decide, from so many rows."""

    rows: int
    verdict: Decision


class ComparedWith(Compared):
    """The same of a model of the commit `base`; `notes` say which rows were left out, and why."""

    base: str
    notes: list[str]


class Comparison(ComparedWith):
    """The whole file; `best` is the contest with the best release so far, where that is another."""

    best: NotRequired[ComparedWith]


def write_comparison(path: Path, document: ComparedWith) -> None:
    """Write a comparison, whole or not at all."""
    write_json(path, document)
