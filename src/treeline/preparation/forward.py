"""Rows in the order of a time: a test of later rows, folds that only look back, stretches. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.config.split import Moment
from treeline.errors import DataError

RULE = "after"  # of a split, in its record

Array = NDArray[Any]


def moments(column: pd.Series, after: Moment) -> Array:
    """Return when each row was, shape (n_rows,): float64 numbers, or int64 microseconds since 1970.

    Which of them, `after` decides: texts are times where it is one, as ISO 8601 writes them, in UTC
    where they name no zone. Raises DataError where a value is missing, or no such time.
    """
    if isinstance(after, str):
        known = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    else:
        known = column
    if (lost := known.isna()).any():
        value = column[lost].iloc[0]
        raise DataError(
            f"split.after.{column.name}: {_words(value)} is no {_wanted(after)}, so that "
            f"{lost.sum():,} rows are neither before nor after; correct the source, or "
            "leave such rows out by `source.where`"
        )
    if isinstance(after, str):
        return known.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    return known.to_numpy(dtype=np.float64)


def later(frame: pd.DataFrame, after: Mapping[str, Moment]) -> NDArray[np.bool_]:
    """Return which rows are after the declared moment, bool of shape (n_rows,)."""
    ((name, moment),) = after.items()
    limit = moments(pd.Series([moment], name=name), moment)[0]
    found: NDArray[np.bool_] = moments(frame[name], moment) > limit
    return found


def moments_of(frame: pd.DataFrame, after: Mapping[str, Moment]) -> Array:
    """Return when each row was, by the column that `split.after` names."""
    ((name, moment),) = after.items()
    return moments(frame[name], moment)


def stretches(times: Array, count: int) -> NDArray[np.intp]:
    """Return the stretch of each row, from 0, shape (n_rows,): `count` of about as many rows each.

    Rows of one moment are in one stretch, so that there are fewer where many share theirs.
    """
    before = np.searchsorted(np.sort(times), times, side="left")
    return np.unique(before * count // max(len(times), 1), return_inverse=True)[1]


def forward_folds(
    classes: Any | None, times: Array, *, k: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return k pairs of row positions (train, test): each stretch of time, and all before it.

    The first of k + 1 stretches is only learnt from. Raises ValueError when there are too few
    moments, or when a part would miss a class of `classes`, shape (n_rows,).
    """
    found = stretches(times, k + 1)
    if len(times) and (there := int(found.max()) + 1) <= k:
        raise ValueError(
            f"{len(np.unique(times)):,} different moments make {there} stretches of time, and "
            f"{k} parts need {k + 1}"
        )
    drawn = [
        (np.flatnonzero(found < part), np.flatnonzero(found == part)) for part in range(1, k + 1)
    ]
    if classes is not None:
        known, whole = np.asarray(classes), len(np.unique(classes))
        if any(len(np.unique(known[rows])) < whole for pair in drawn for rows in pair):
            raise ValueError(
                f"a class is missing in one of the {k + 1} stretches of time; it needs rows in each"
            )
    return drawn


def _words(value: Any) -> str:
    return "a missing value" if pd.isna(value) else repr(value)


def _wanted(after: Moment) -> str:
    return "time like 2026-01-31" if isinstance(after, str) else "number"
