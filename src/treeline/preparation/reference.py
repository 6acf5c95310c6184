"""Prepared rows → how each feature is spread over them, the baseline that drift is told from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from treeline.contract.features import Feature
from treeline.contract.signature import Distribution

BINS = 10  # deciles of the training rows: the usual bins of a population stability index
DIGITS = 6  # processors differ in the last digits of a sum
EDGE_DIGITS = 12  # an edge parts values that lie close together, such as years or prices


def reference(frame: pd.DataFrame, features: Mapping[str, Feature]) -> dict[str, Distribution]:
    """Return the distribution of each feature over the rows of a prepared frame."""
    return {name: _distribution(frame[name], feature) for name, feature in features.items()}


def _distribution(column: pd.Series, feature: Feature) -> Distribution:
    known = column.dropna()
    missing = _rounded(1 - len(known) / len(column))
    if feature.categories or feature.type == "boolean":
        values: tuple[Any, ...] = feature.categories or (False, True)
        counts = [int((known == value).sum()) for value in values]
        return Distribution(missing=missing, shares=_shares(counts))
    numbers = known.to_numpy(dtype=np.float64)
    if not len(numbers):
        return Distribution(missing=missing, shares=())
    quantiles = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    edges = sorted({_rounded(edge, EDGE_DIGITS) for edge in quantiles})
    bins = np.searchsorted(edges, numbers, side="right")  # a bin holds its lower edge
    return Distribution(
        missing=missing,
        shares=_shares(np.bincount(bins, minlength=len(edges) + 1).tolist()),
        edges=tuple(edges),
        mean=_rounded(numbers.mean()),
        deviation=_rounded(numbers.std()),
        minimum=_rounded(numbers.min()),
        maximum=_rounded(numbers.max()),
    )


def _shares(counts: list[int]) -> tuple[float, ...]:
    total = max(sum(counts), 1)
    return tuple(_rounded(count / total) for count in counts)


def _rounded(value: float, digits: int = DIGITS) -> float:
    return float(f"{float(value):.{digits}g}")
