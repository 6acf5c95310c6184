"""What a service answered, and its shadow would have, on the same requests → which is better. Pure.

The shadow answers what the log has of each request. Both are judged on the rows whose truth is
known by now, in pairs, by the rules of every contest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.config.models import ModelSpec
from treeline.contest.incumbents import check_enough
from treeline.contract.features import Label
from treeline.errors import TooFewRowsError
from treeline.evaluation.comparison import CANDIDATE, INCUMBENT, Rules, compare
from treeline.evaluation.units import Units
from treeline.records.comparison import Compared
from treeline.reports.markdown import interval, number, table

Array = NDArray[Any]


@dataclass(frozen=True)
class Answered:
    """Requests that both answered: n_rows, in any order.

    `times` are seconds since 1970. `truth` has codes of `classes`, or float64, of shape (n_rows,);
    `is_known` says where it is known. `columns` are what rows are taken together by: those of the
    features that the declaration names. `refused` requests the shadow would not have answered;
    `strange` answers are none of the model in service.
    """

    times: Array
    service: Prediction
    shadow: Prediction
    truth: Array
    is_known: NDArray[np.bool_]
    columns: Mapping[str, Array]
    classes: tuple[Label, ...] = ()
    refused: int = 0
    strange: int = 0

    def __len__(self) -> int:
        return len(self.times)

    @property
    def known(self) -> int:
        """How many rows have a truth by now."""
        return int(self.is_known.sum())


@dataclass(frozen=True)
class Live:
    """What comes of a shadow: who answered, what of it, and the contest, where there is one yet.

    `agreement` is the share of rows that got the same class, or, of a regression, the correlation
    of the values; None where it is not known.
    """

    model: str
    service: str
    shadow: str
    since: float
    rows: int
    known: int
    refused: int
    agreement: float | None
    notes: tuple[str, ...]
    comparison: Compared | None = None

    @property
    def good(self) -> bool:
        """Whether the shadow may take the place."""
        return self.comparison is not None and self.comparison["verdict"]["passed"]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**vars(self), "notes": list(self.notes), "good": self.good}

    def to_text(self) -> str:
        """Return it as Markdown."""
        if self.comparison is None:
            verdict, reasons = "cannot be judged yet", []
        else:
            verdict = "may take the place" if self.good else "must not take the place"
            reasons = self.comparison["verdict"]["reasons"]
        lines = "\n".join(f"- {line}" for line in (*reasons, *self.notes))
        parts = [f"## {self.model} {self.shadow} {verdict}, beside {self.service}", lines]
        if self.comparison is not None:
            parts += [
                f"On the same {self.known:,} answered requests, with paired 95 % intervals; a "
                "positive lead is better, whichever way the metric points.",
                table(["metric", "shadow", "in service", "lead"], _rows(self.comparison)),
            ]
        return "\n\n".join(parts)


def _rows(comparison: Compared) -> list[list[str]]:
    return [
        [
            metric,
            number(comparison["candidate"][metric]["value"]),
            number(comparison["incumbent"][metric]["value"]),
            interval(lead),
        ]
        for metric, lead in comparison["advantage"][INCUMBENT].items()
    ]


def judged(spec: ModelSpec, rows: Answered, *, look: int) -> tuple[Compared | None, list[str]]:
    """Judge both on the rows whose truth is known; with what is to be said beside.

    `look` counts the days on which it may have been asked before. Without a contest where the rows
    are too few for one.
    """
    notes = said(rows)
    where = np.flatnonzero(rows.is_known)
    truth, classes = rows.truth[where], list(rows.classes) or None
    try:
        check_enough(truth, classes, f"{len(where):,} of {len(rows):,} rows have a truth by now")
    except TooFewRowsError as error:
        return None, [str(error), *notes]
    units, taken = units_of(spec, rows, where)
    rules = Rules(spec.gate.may_drop_by, undecided=spec.gate.undecided, look=look)
    comparison = compare(
        truth,
        {CANDIDATE: some(rows.shadow, where), INCUMBENT: some(rows.service, where)},
        metrics=list(dict.fromkeys([spec.champion.metric, *spec.metrics])),
        rules=rules,
        units=units,
    )
    return comparison, [*taken, *notes]


def said(rows: Answered) -> list[str]:
    """Return what is to be known of the rows themselves."""
    notes = [
        f"{len(rows):,} requests were answered by both, and {rows.known:,} have a truth by now"
    ]
    if rows.refused:
        notes.append(f"{rows.refused:,} more the shadow would have refused; they are left out")
    if rows.strange:
        notes.append(f"{rows.strange:,} answers are none of the model in service, and are left out")
    return notes


def units_of(spec: ModelSpec, rows: Answered, where: Array) -> tuple[Units, list[str]]:
    """Return what is independent among some rows, and what cannot be known of it."""
    split = spec.split
    if split.after is not None:
        return Units.blocks(rows.times[where], name="the time of the answer"), []
    if split.group is None:
        return Units.rows(len(where)), []
    if split.group in rows.columns:
        return Units.groups(rows.columns[split.group][where], name=split.group), []
    note = (
        f"rows are taken as independent: the log does not hold `{split.group}`, by which they are "
        "split, so intervals may be too narrow"
    )
    return Units.rows(len(where)), [note]


def agreement(rows: Answered) -> float | None:
    """Return how alike both answer: the share of equal classes, or the correlation of values."""
    if not len(rows):
        return None
    if rows.service.labels is not None and rows.shadow.labels is not None:
        return float(np.mean(rows.service.labels == rows.shadow.labels))
    service, shadow = np.asarray(rows.service.values), np.asarray(rows.shadow.values)
    if len(rows) < 2 or np.ptp(service) == 0 or np.ptp(shadow) == 0:
        return None
    return float(np.corrcoef(service, shadow)[0, 1])


def some(prediction: Prediction, where: Array) -> Prediction:
    """Return what a prediction says of some rows, by position."""
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else np.asarray(part)[where] for part in parts))


def answers_of(rows: Answered) -> pd.DataFrame:
    """Return the answers of both, side by side, with the truth where it is known."""
    columns: dict[str, Any] = {"time": rows.times}
    for name, prediction in (("service", rows.service), ("shadow", rows.shadow)):
        if prediction.values is not None:
            columns[name] = prediction.values
            continue
        labels = np.asarray(prediction.labels)
        columns[name] = [rows.classes[code] for code in labels]
        if prediction.scores is not None:
            scores = np.asarray(prediction.scores)
            places = labels if len(rows.classes) > 2 else np.full(len(labels), scores.shape[1] - 1)
            columns[f"{name}_probability"] = scores[np.arange(len(labels)), places]
    truth = rows.truth if not rows.classes else [rows.classes[code] for code in rows.truth]
    frame = pd.DataFrame(columns | {"truth": truth})
    frame["truth"] = frame["truth"].where(rows.is_known)
    return frame
