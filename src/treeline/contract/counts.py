"""How the values of a feature are spread: bins of a reference, and counts in them. Pure.

Counts add up chunk by chunk. A feature that has a fill is counted as a model sees it: a missing
value is the fill, since the log of a batch holds nothing else; how many were logged as missing is
counted beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from treeline.contract.features import Feature
from treeline.contract.signature import Distribution

Array = NDArray[Any]

MOST_NAMES = 20  # of categories that nobody declared
HALF = 0.5  # a row, added to each bin so that none is empty (Jeffreys)
TOLERANCE = 1e-5  # of the range: what a reference is rounded by is not beyond it


@dataclass(frozen=True)
class Bins:
    """Where the values of a feature fall: between `edges`, or on one of `values`.

    `low` and `high` are the range of the reference, of numbers alone.
    """

    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    fill: Any = None

    @classmethod
    def of(cls, feature: Feature, reference: Distribution) -> Self:
        """Return the bins of a reference."""
        if feature.kind.holds != "number":
            return cls(values=values_of(feature), fill=feature.fill)
        low, high = reference.minimum, reference.maximum
        if low is None or high is None:
            return cls(edges=reference.edges, fill=feature.fill)
        slack = TOLERANCE * max(abs(low), abs(high), high - low)
        return cls(reference.edges, (), low - slack, high + slack, feature.fill)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.values) or len(self.edges) + 1

    @property
    def fill_text(self) -> str:
        """The fill of a feature that is no number, as a text."""
        return self.fill if isinstance(self.fill, str) else str(bool(self.fill)).lower()

    def places(self, numbers: Array) -> Array:
        """Return the bin of each number, shape (n,), which holds its lower edge.

        In float32, in which batches are logged, unless edges that differ are then the same.
        """
        limits = np.asarray(self.edges, dtype=np.float32)
        if len(np.unique(limits)) == len(self.edges):
            return np.searchsorted(limits, numbers.astype(np.float32), side="right")
        return np.searchsorted(np.asarray(self.edges), numbers, side="right")


def values_of(feature: Feature) -> tuple[str, ...]:
    """Return what a feature that is no number may hold, as texts, in the order of a reference."""
    return feature.categories or ("false", "true")


@dataclass(frozen=True)
class Counts:
    """How the values of one feature were spread over some rows.

    `shares` counts values by bin, shape (bins,); `unlike` are those that the feature does not
    admit: `names` counts them by text. `total` and `squares` are the sums of numbers and of their
    squares, `low` and `high` the least and the greatest.
    """

    rows: int
    missing: int
    shares: Array
    unlike: int = 0
    beyond: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def known(self) -> int:
        """How many values fell into a bin."""
        return int(self.shares.sum())

    @property
    def mean(self) -> float:
        """The mean of the numbers."""
        return self.total / self.known if self.known else np.nan

    @property
    def deviation(self) -> float:
        """Their standard deviation."""
        if not self.known:
            return np.nan
        return float(np.sqrt(max(self.squares / self.known - self.mean**2, 0)))

    @property
    def size(self) -> float:
        """The root of their mean square: what changes with a unit."""
        return float(np.sqrt(self.squares / self.known)) if self.known else np.nan

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of both."""
        names = dict(self.names)
        for name, count in other.names.items():
            if name in names or len(names) < MOST_NAMES:
                names[name] = names.get(name, 0) + count
        return Counts(
            self.rows + other.rows,
            self.missing + other.missing,
            self.shares + other.shares,
            self.unlike + other.unlike,
            self.beyond + other.beyond,
            self.total + other.total,
            self.squares + other.squares,
            min(self.low, other.low),
            max(self.high, other.high),
            names,
        )


def of_numbers(numbers: Array, bins: Bins, *, rows: int, missing: int) -> Counts:
    """Count numbers, float64 of shape (n,), that `rows` rows hold; fills are among them."""
    finite = numbers[np.isfinite(numbers)]
    shares = np.bincount(bins.places(finite), minlength=bins.count)
    unlike = len(numbers) - len(finite)
    if not len(finite):
        return Counts(rows, missing, shares, unlike)
    beyond = int(np.sum((finite < bins.low) | (finite > bins.high)))
    return Counts(
        rows, missing, shares, unlike, beyond,
        float(finite.sum()), float(np.square(finite).sum()),
        float(finite.min()), float(finite.max()),
    )  # fmt: skip


def of_texts(counted: Mapping[str, int], bins: Bins, *, rows: int, missing: int) -> Counts:
    """Count texts that `rows` rows hold, each with how often it is there; fills are among them."""
    shares, names = np.zeros(bins.count, dtype=np.int64), dict[str, int]()
    places = {value: place for place, value in enumerate(bins.values)}
    for name, count in counted.items():
        if (place := places.get(name)) is not None:
            shares[place] += count
        else:
            names[name] = count
    unlike = sum(names.values())
    most = sorted(names, key=lambda name: -names[name])[:MOST_NAMES]
    return Counts(rows, missing, shares, unlike, names={name: names[name] for name in most})


def stability(before: Array, now: Array) -> float:
    """Return the population stability index of two samples, as counts of shape (bins,).

    From 0, alike; 0.1 and 0.25 are the usual marks of a moderate and of a large change. What two
    samples of so few rows would show by chance alone is taken off (Yurdakul 2018).
    """
    old, new = ((each + HALF) / (each.sum() + HALF * len(each)) for each in (before, now))
    index = np.sum((old - new) * np.log(old / new))
    bins = int(np.sum(np.asarray(before) + now > 0))
    by_chance = (bins - 1) * (1 / max(before.sum(), 1) + 1 / max(now.sum(), 1))
    return float(max(index - by_chance, 0))
