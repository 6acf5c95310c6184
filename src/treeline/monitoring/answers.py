"""How a version answers, beside how it answered the test rows, or its first window. Pure."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from treeline.artifact import Prediction
from treeline.contract.counts import Array, stability
from treeline.contract.signature import Signature
from treeline.contract.texts import text_of
from treeline.evaluation.answers import DECILES, places, score_of
from treeline.monitoring.record import Column
from treeline.monitoring.two_samples import distance, shift

TEST_ROWS = "the test rows of its training"
FIRST_WINDOW = "the first window of this version, for its evaluation has no answers"
NOTHING = "nothing yet: its evaluation has no answers, and this is its first window"


def of_window(prediction: Prediction, classes: int) -> dict[str, Any]:
    """Count answers as an evaluation does, for a later window to be compared with."""
    counted_answers: dict[str, Any] = {}
    if prediction.labels is not None:
        counted_answers["labels"] = np.bincount(prediction.labels, minlength=classes).tolist()
    if (scores := score_of(prediction)) is not None:
        edges = [float(edge) for edge in np.unique(np.quantile(scores, DECILES))]
        counts = np.bincount(places(scores, edges), minlength=len(edges) + 1)
        counted_answers["scores"] = {"edges": edges, "counts": counts.tolist()}
    return counted_answers


def answered(
    before: Mapping[str, Any], prediction: Prediction, signature: Signature, *, effect: float
) -> list[Column]:
    """Set the labels and the scores of a window beside `answers` of an evaluation."""
    columns = []
    if prediction.labels is not None and "labels" in before:
        names = tuple(map(text_of, signature.classes))
        now = np.bincount(prediction.labels, minlength=len(names))
        columns.append(_column(signature.target.name, names, before["labels"], now, effect))
    scores = score_of(prediction)
    if scores is not None and "scores" in before:
        edges = before["scores"]["edges"]
        now = np.bincount(places(scores, edges), minlength=len(edges) + 1)
        name = "value" if prediction.values is not None else "probability"
        shown = [f"{edge:.3g}" for edge in edges]
        names = (
            f"below {shown[0]}",
            *(f"{low} to {high}" for low, high in pairwise(shown)),
            f"from {shown[-1]}",
        )
        columns.append(_column(name, names, before["scores"]["counts"], now, effect))
    return columns


def _column(
    name: str, bins: tuple[str, ...], counts: list[int], now: Array, effect: float
) -> Column:
    before = np.asarray(counts, dtype=np.float64)
    tested = shift(before, now, effect=effect)
    return Column(
        name=name,
        rows=int(now.sum()),
        bins=bins,
        before=tuple(map(float, before)),
        now=tuple(map(int, now)),
        psi=round(stability(before, now), 6),
        distance=distance(before, now),
        tests=(tested,),
    )
