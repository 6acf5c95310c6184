"""Parts of the training rows → how the champion metric grows with them: would more rows help?

Costs SHARES times DRAWS refits of the champion, together as much as about five trainings of it.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from treeline.artifact.pickled import predict
from treeline.config.metrics import METRICS
from treeline.evaluation.units import Units
from treeline.metrics import score

SHARES = (0.125, 0.25, 0.5, 1.0)
DRAWS = 3  # of each share below 1; another draw, another curve

Array = NDArray[Any]
Rows = tuple[pd.DataFrame, Array]


def learning_curve(
    estimator: Any, train: tuple[pd.DataFrame, Array, Units], test: Rows, *, metric: str, seed: int
) -> dict[str, Any]:
    """Return the metric on the test rows after learning from shares of the training units.

    Each entry of `curve` has `rows` (the mean), `value` (the mean over the draws) and `deviation`
    (n - 1). `more_rows_help` tells whether the last doubling gained more than the draws differ; it
    is None where the curve is too short. `train` and `test` are float32 frames with their truth. A
    draw that lacks a class is left out, and a share of which none is left has no entry.
    """
    frame, truth, units = train
    whole = np.unique(truth) if np.issubdtype(truth.dtype, np.integer) else np.empty(0)
    found = []
    for place, share in enumerate(SHARES):
        values, sizes = [], []
        for draw in range(DRAWS if share < 1 else 1):
            rng = np.random.default_rng([seed, place, draw])
            taken = rng.permutation(units.count)[: max(1, round(share * units.count))]
            rows = np.flatnonzero(np.isin(units.codes, taken))
            if len(whole) and len(np.unique(truth[rows])) < len(whole):
                continue
            fitted = clone(estimator).fit(frame.iloc[rows], truth[rows])
            values.append(score(test[1], predict(fitted, test[0]), [metric])[metric])
            sizes.append(len(rows))
        if values:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            found.append(
                {
                    "rows": round(float(np.mean(sizes))),
                    "value": round(float(np.mean(values)), 6),
                    "deviation": round(deviation, 6),
                }
            )
    return {"curve": found, "more_rows_help": _more_rows_help(found, metric)}


def _more_rows_help(curve: list[dict[str, Any]], metric: str) -> bool | None:
    if len(curve) < 2:
        return None
    half, whole = curve[-2:]
    gain = METRICS[metric].sign * (whole["value"] - half["value"])
    return bool(gain > half["deviation"])
