"""Counts of a window beside those of a reference → tests, with the size of what they tell. Pure.

The reference is a sample too: every test is one of two samples. A difference counts where it is no
chance and matters; p-values are corrected for how many tests a look takes (Benjamini and Hochberg
1995) by `corrected`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import betabinom, chi2_contingency, false_discovery_control, fisher_exact

from treeline.contract.counts import stability
from treeline.monitoring.record import Tested

LEAST_EXPECTED = 5.0  # rows in a cell, below which bins are put together (Cochran 1954)
TIMES_AS_OFTEN = 1.5  # from which a share of missing values matters
LEAST_SHARE = 0.01  # of the rows: what is less does no harm

Array = NDArray[Any]


def shift(before: Array, now: Array, *, effect: float) -> Tested:
    """Test whether two samples have one distribution: counts by bin, of shape (bins,) each.

    Chi-square of the table of two rows (Pearson 1900), bins of few rows put together.
    """
    index = stability(before, now)
    p = homogeneity(before, now)
    text = f"is spread otherwise than before (PSI {index:.2g})"
    return Tested(sort="shift", p=p, effect=index, matters=index >= effect, text=text)


def homogeneity(before: Array, now: Array) -> float:
    """Return the p-value of the hypothesis that two samples, as counts, have one distribution."""
    table = _pooled(np.array([before, now], dtype=np.float64))
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    return float(chi2_contingency(table, correction=False).pvalue)


def _pooled(table: Array) -> Array:
    """Put together bins in which one of the samples would have too few rows, shape (2, some)."""
    table = table[:, table.sum(axis=0) > 0]
    smaller = float(table.sum(axis=1).min() / max(table.sum(), 1))
    few = table.sum(axis=0) * smaller < LEAST_EXPECTED
    if few.sum() < 2:
        return table
    return np.column_stack([table[:, ~few], table[:, few].sum(axis=1)])


def distance(before: Array, now: Array) -> float | None:
    """Return the distance of Jensen and Shannon (base 2) of two samples, from 0 to 1."""
    if not before.sum() or not now.sum():
        return None
    return float(jensenshannon(before, now, base=2))


def missing(before: tuple[float, float], now: tuple[int, int]) -> Tested:
    """Test whether the share of missing values is another one: pairs of missing and rows (Fisher).

    A feature that has a fill has no such share: neither its reference nor the log of a batch does.
    """
    (lacked, rows), (lacking, of) = before, now
    table = [[round(lacked), round(rows - lacked)], [lacking, of - lacking]]
    p = float(fisher_exact(table).pvalue)
    share, was = lacking / max(of, 1), lacked / max(rows, 1)
    more, less = max(share, was), min(share, was)
    matters = more - less >= LEAST_SHARE and more >= TIMES_AS_OFTEN * less
    text = f"missing in {share:.1%} of the rows, {was:.1%} before"
    return Tested(sort="missing", p=p, effect=share - was, matters=matters, text=text)


def beyond(outside: int, known: int, *, rows: float) -> Tested:
    """Test whether more numbers than chance explains lie beyond the range of `rows` earlier ones.

    Of the range of m independent numbers of one distribution, whichever it is, the share beyond
    both ends is of the distribution Beta(2, m - 1) (Wilks 1941).
    """
    p = float(betabinom.sf(outside - 1, known, 2, max(rows - 1, 1))) if outside else 1.0
    share = outside / max(known, 1)
    text = f"{share:.1%} of the values lie beyond the range of the reference"
    return Tested(
        sort="beyond the range", p=p, effect=share, matters=share >= 2 * LEAST_SHARE, text=text
    )


def unseen(name: str, count: int, known: int, *, rows: float) -> Tested:
    """Test a category that is declared, and none of the rows of the reference had."""
    table = [[0, round(rows)], [count, known - count]]
    p = float(fisher_exact(table, alternative="less").pvalue)
    share = count / max(known, 1)
    text = f"{name!r} is in {share:.1%} of the rows, and was in none of the reference"
    return Tested(
        sort="unseen category", p=p, effect=share, matters=share >= LEAST_SHARE, text=text
    )


def corrected(tests: Sequence[Tested]) -> list[Tested]:
    """Return tests with p-values corrected for the false discovery rate of all of their family.

    Those of missing values are a family of their own: they are few, and would else be corrected
    for the many of a wide table.
    """
    p = np.array([each.p for each in tests])
    is_missing = np.array([each.sort == "missing" for each in tests], dtype=np.bool_)
    for family in (is_missing, ~is_missing):
        if family.any():
            p[family] = false_discovery_control(p[family], method="bh")
    return [
        each.model_copy(update={"corrected": float(value)})
        for each, value in zip(tests, p, strict=True)
    ]
