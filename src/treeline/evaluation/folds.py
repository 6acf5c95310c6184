"""All rows in parts → predictions of each part by estimators refitted on the others.

A table with few rows, or with few groups, has a test split that decides little. Each of its rows
can be judged, if the estimators are fitted again without it (Stone 1974), whole groups at a time.
The settings are those that won on the training split; only the fit is made anew.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from treeline.artifact.pickled import predict
from treeline.artifact.prediction import Prediction
from treeline.errors import DataError
from treeline.evaluation.units import Units

MOST_REFITS = 200  # of each estimator, for `folds: all`

Array = NDArray[Any]


def parts_of(units: Units, folds: int | Literal["all"], *, seed: int, repeat: int = 0) -> Array:
    """Return the part of each row, int64 of shape (n_rows,): units dealt out, the largest first.

    Raises DataError where there are fewer units than parts, or too many for one part each.
    """
    count = units.count if folds == "all" else folds
    if units.count < count:
        raise DataError(
            f"evaluation.folds: there are {units.words}, too few for {count} parts; declare fewer"
        )
    if folds == "all" and count > MOST_REFITS:
        raise DataError(
            f"evaluation.folds: `all` would refit {count:,} times ({units.words}); declare a "
            f"number, of at most {MOST_REFITS}"
        )
    if count == units.count:
        return units.codes
    order = np.random.default_rng([seed, repeat]).permutation(units.count)
    part, filled = np.empty(units.count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for unit in order[np.argsort(-units.sizes[order], kind="stable")]:
        part[unit] = np.argmin(filled)
        filled[part[unit]] += units.sizes[unit]
    dealt: Array = part[units.codes]
    return dealt


def predicted(
    frame: pd.DataFrame, truth: Array, estimators: Mapping[str, Any], *, parts: Array
) -> dict[str, Prediction]:
    """Return for each estimator its predictions of all rows, each by a refit without its part.

    `frame` is float32 of shape (n_rows, n_features). Raises DataError where the rows outside a part
    lack a class.
    """
    whole = len(np.unique(truth)) if np.issubdtype(truth.dtype, np.integer) else 0
    found: dict[str, list[Prediction]] = {name: [] for name in estimators}
    rows_of = [np.flatnonzero(parts == part) for part in np.unique(parts)]
    for rows in rows_of:
        others = np.setdiff1d(np.arange(len(truth)), rows)
        if whole and len(np.unique(truth[others])) < whole:
            raise DataError(
                "evaluation.folds: a class has rows in one part only, so that a refit without it "
                "would not know the class; declare fewer folds, or collect more rows"
            )
        for name, estimator in estimators.items():
            refitted = clone(estimator).fit(frame.iloc[others], truth[others])
            found[name].append(predict(refitted, frame.iloc[rows]))
    return {name: _joined(each, np.concatenate(rows_of)) for name, each in found.items()}


def _joined(pieces: list[Prediction], rows: Array) -> Prediction:
    """Return the pieces as one, in the order of rows."""
    back = np.argsort(rows)

    def whole(key: str) -> Array | None:
        parts = [getattr(piece, key) for piece in pieces]
        return None if parts[0] is None else np.concatenate(parts)[back]

    return Prediction(labels=whole("labels"), scores=whole("scores"), values=whole("values"))
