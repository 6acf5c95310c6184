"""Counts of a window → what is broken and needs no test: it is said at once. Pure.

Each rule needs more than chance could do in all the years that a model is watched.
"""

from collections.abc import Iterator

import numpy as np

from treeline.contract.counts import Bins, Counts
from treeline.contract.signature import Distribution
from treeline.monitoring.record import Sort

FEWEST = 20  # values, below which nothing is said of them
HARDLY = 1e-9  # a chance that never comes
OF_OTHER_SIZE = 5.0  # times: by less, values may differ with the season
MOST = 0.5
CROWDED = 0.9  # of the values, in bins that had at most MOST of the reference

Finding = tuple[Sort, str]


def broken(
    counts: Counts, bins: Bins, reference: Distribution, *, rows: float
) -> Iterator[Finding]:
    """Yield what is broken with one feature, `rows` being those of the reference."""
    if bins.fill is None and counts.missing == counts.rows >= FEWEST:
        if reference.missing < 1 - 1 / FEWEST:
            yield "all missing", "is missing in every row"
        return
    yield from _unlike(counts, bins)
    if counts.known < FEWEST:
        return
    if _is_constant(counts, reference, rows):
        yield "constant", "has one value in every row"
    elif not bins.values and (times := _times(counts, reference)) is not None:
        yield "other unit", f"is about {times} what it was: another unit, or a sensor that is off"


def _unlike(counts: Counts, bins: Bins) -> Iterator[Finding]:
    for name, count in counts.names.items():
        yield "unknown category", f"has the value {name!r} in {count:,} rows, which nobody declared"
    if counts.unlike and not bins.values:
        yield "not of its type", f"is no number in {counts.unlike:,} rows"


def _is_constant(counts: Counts, reference: Distribution, rows: float) -> bool:
    """Tell whether one value is everywhere although the reference makes that impossible."""
    shares = np.asarray(reference.shares)
    if np.count_nonzero(counts.shares) > 1 or counts.low < counts.high or not len(shares):
        return False
    usual = float(shares[int(np.argmax(counts.shares))]) + 1 / rows
    return bool(min(usual, 1) ** counts.known < HARDLY and reference.deviation != 0)


def _times(counts: Counts, reference: Distribution) -> str | None:
    """Return by what numbers were multiplied, such as `1000 times`, or None where they were not.

    Most lie beyond the range they had, or are crowded where few of them were, and their size is
    another one by far.
    """
    mean, deviation = reference.mean, reference.deviation
    if mean is None or deviation is None or not (mean or deviation) or not counts.size:
        return None
    times = counts.size / np.hypot(mean, deviation)
    crowd = counts.shares >= counts.known * 0.01
    shares = np.asarray(reference.shares)
    crowded = counts.shares[crowd].sum() >= CROWDED * counts.known and shares[crowd].sum() <= MOST
    if times >= OF_OTHER_SIZE and counts.beyond > MOST * counts.known:
        return _as_unit(times)
    if times <= 1 / OF_OTHER_SIZE and (crowded or counts.beyond > MOST * counts.known):
        return _as_unit(times)
    return None


def _as_unit(times: float) -> str:
    power = round(np.log10(times))
    if abs(np.log10(times) - power) < 0.1 and power:
        return f"{10**power:,} times" if power > 0 else f"a {10**-power:,}th of"
    return f"{times:.2g} times"
