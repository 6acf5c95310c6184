"""How often a version was looked at before → how much of the chance of a false alarm is left. Pure.

A look is a day of the life of a version in service. Of the chance that is declared for all its
life each look may spend a share, and all shares sum to 1: so the promise holds however long it is
watched, and however windows overlap. The shares are those of Javanmard and Montanari (2018).
Time says which look it is, so that nothing need be remembered between two of them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

DAY_SECONDS = 86_400
MOST_LOOKS = 3650  # ten years; who watches one version longer has looks that nobody promised


@dataclass(frozen=True)
class Look:
    """Which look at a version it is, from 1, and the chance that it may alarm by chance."""

    number: int
    alpha: float


def look(first: float, until: float, *, false_alarms: float) -> Look:
    """Return the look at `until` at what answered `first`; times are in seconds since 1970."""
    number = max(1, min(int((until - first) // DAY_SECONDS) + 1, MOST_LOOKS))
    return Look(number, false_alarms * float(_shares()[number - 1]))


@cache
def _shares() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the share of each look, shape (MOST_LOOKS,)."""
    number = np.arange(1, MOST_LOOKS + 1, dtype=np.float64)
    shares = np.log(np.maximum(number, 2)) / (number * np.exp(np.sqrt(np.log(number))))
    return np.asarray(shares / shares.sum())
