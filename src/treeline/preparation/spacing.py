"""Columns of numbers whose values a float32 cannot tell apart: refused before a model learns.

A model computes in float32, which keeps about seven digits. That is enough for a measurement, and
not for a time in milliseconds: 3,000 of them within an hour become 24.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.contract.features import Feature
from treeline.errors import DataError

MOST_LOST = 0.01  # of the different values of a column, those that become the same as another
FEW_STEPS = 2**20  # of float32 over a column; with more of them, values are lost by their number
NOISE = 1e-13  # of the size of a value: what rounding in doubles leaves of equal ones


def check_spacing(column_of: Callable[[str], pd.Series], features: Mapping[str, Feature]) -> None:
    """Raise DataError where float32 takes many different values of a column for the same.

    `column_of` returns the float64 values of a column of numbers by its name, NaN where missing.
    """
    lines = []
    for name, feature in features.items():
        if feature.kind.holds != "number":
            continue
        values: NDArray[np.float64] = column_of(name).to_numpy(np.float64, na_value=np.nan)
        if (counts := lost_in_float32(values)) is not None:
            lines.append(
                f"column {name!r}: {counts[0]:,} different numbers are {counts[1]:,} in float32, "
                "in which a model computes and which keeps about seven digits"
            )
    if lines:
        lines.append(
            "subtract an offset in the source (a time since the first day, say, not since 1970), "
            "or take a larger unit; and let callers send the same"
        )
        raise DataError("\n".join(lines))


def lost_in_float32(values: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return how many values of shape (n,) differ, and in float32, where too many are lost.

    A column whose middle half spreads over many steps of float32 is measured finely enough, however
    many of its values fall into one step.
    """
    exact = np.unique(values[np.isfinite(values)])
    if len(exact) < 2:
        return None
    single = np.unique(exact.astype(np.float32))
    low, high = np.quantile(exact, [0.25, 0.75])
    largest = max(abs(low), abs(high))
    spread = high - low
    many_steps = spread >= FEW_STEPS * float(np.spacing(np.float32(largest)))
    if len(single) >= (1 - MOST_LOST) * len(exact) or many_steps or spread <= NOISE * largest:
        return None
    return len(exact), len(single)
