"""A collected column → the type it is declared to have; what cannot be read so becomes missing.

Sources differ in how they write the same thing: 0 arrives as 0, 0.0, "0" or false. Checks and
conditions on rows look at columns through these functions only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

EXACT = 2.0**53  # float64 holds every whole number up to here

_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def numbers(column: pd.Series) -> pd.Series:
    """Return float64; dates, true and false are no numbers."""
    if column.dtype.kind in "iuf":
        return column.astype("float64")
    if column.dtype.kind in "bmM":
        return pd.Series(np.nan, index=column.index, name=column.name)
    if column.dtype == object:
        column = column.mask(np.array([isinstance(value, bool) for value in column], dtype=bool))
    found: pd.Series = pd.to_numeric(column, errors="coerce").astype("float64")
    return found


def truths(column: pd.Series) -> pd.Series:
    """Return nullable booleans, from true or false in any spelling, or from 1 or 0."""
    return column.astype("str").str.lower().map(_TRUTH).astype("boolean")


def texts(column: pd.Series, *, among: Sequence[str] = ()) -> pd.Series:
    """Return strings; whole numbers without a decimal point, true and false as `among` has them."""
    known = column.dropna().infer_objects()
    if known.dtype.kind == "b":
        spelt = {word.lower(): word for word in ("true", "false", *among)}
        return column.map({True: spelt["true"], False: spelt["false"]}).astype("str")
    if known.dtype.kind in "iuf" and (known % 1 == 0).all() and (known.abs() <= EXACT).all():
        column = column.astype("Int64")
    return column.astype("str")


def plain(value: Any) -> Any:
    """Return a value of numpy as Python's own, for messages and JSON."""
    return value.item() if isinstance(value, np.generic) else value
