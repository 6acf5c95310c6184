"""Predictions → the champion metric on parts of the rows: each value of a column for itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.config.models import BASELINE, CHAMPION, ModelSpec
from treeline.contract.problems import plain
from treeline.contract.texts import text_of
from treeline.evaluation.intervals import evaluate_repeats
from treeline.evaluation.repeats import Repeat
from treeline.evaluation.units import Units

FEWEST_ROWS = 20  # of a slice: fewer tell nothing
MOST_VALUES = 20  # of a column: more are no slices but groups

Array = NDArray[Any]


def sliced(
    table: pd.DataFrame,
    truth: Array,
    repeats: Sequence[Repeat],
    spec: ModelSpec,
    *,
    units: Units,
) -> list[dict[str, Any]]:
    """Return the champion metric for each value of each column that is sliced by.

    Those are declared (`evaluation.slices`), or else the features of categories. Entries have the
    column, its value (`slice`), how many rows, what the baseline reaches, and the lead over it,
    which has an interval where the slice has enough `units`. A slice in which the metric is
    undefined (one class alone) is left out, as are those of fewer than FEWEST_ROWS rows, and rows
    that are a slice already by another name.
    """
    metric, found = spec.champion.metric, []
    seen: set[bytes] = set()
    for name in columns_of(spec):
        values = table[name]
        for value in sorted(values.dropna().unique(), key=str)[:MOST_VALUES]:
            rows = np.flatnonzero(values == value)
            if len(rows) < FEWEST_ROWS or rows.tobytes() in seen:
                continue
            seen.add(rows.tobytes())
            those = [repeat.of(rows) for repeat in repeats]
            judged = evaluate_repeats(truth[rows], those, [metric], units=units.part(rows))
            if metric in judged[CHAMPION] and np.isfinite(judged[CHAMPION][metric]["value"]):
                entry = {"column": name, "slice": text_of(plain(value)), "rows": len(rows)}
                found.append(entry | judged[CHAMPION][metric] | _beside(judged, metric))
    return found


def columns_of(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns whose values are slices: those declared, or features of categories."""
    if spec.evaluation.slices is not None:
        return spec.evaluation.slices
    return tuple(name for name, feature in spec.features.items() if feature.categories)


def _beside(judged: Mapping[str, Any], metric: str) -> dict[str, Any]:
    if metric not in judged[BASELINE]:
        return {"baseline": None, "lead": None}
    lead = judged["advantage"][BASELINE][metric]
    return {"baseline": judged[BASELINE][metric]["value"], "lead": lead}
