"""The reference of a signature → the values that features have where they are not known. Pure.

A signature holds how each feature was spread over the training rows, not the rows. So features are
taken as independent of each other here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from treeline.contract.encoding import Encoder, Matrix, missing_code
from treeline.contract.features import Feature
from treeline.contract.signature import Distribution, Signature

POINTS = 16  # of a bin of numbers, which are spread evenly over it
Column = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Background:
    """Points of each feature, and which share of the training rows each of them stands for.

    `codes` is float32 of shape (n_points, n_features), `shares` float64 of the same shape, in which
    each column sums to 1. Features with fewer points have some with a share of 0.
    """

    codes: Matrix
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, signature: Signature) -> Self:
        """Return the background of a model.

        A feature without a reference has the value of the example of the signature.
        """
        usual = Encoder(signature.features).row(signature.example.record)
        columns = [
            points_of(feature, signature.reference.get(name), otherwise=code)
            for (name, feature), code in zip(signature.features.items(), usual, strict=True)
        ]
        count = max((len(codes) for codes, _ in columns), default=1)
        codes = np.empty((count, len(columns)), np.float32)
        shares = np.zeros((count, len(columns)))
        for place, (values, weights) in enumerate(columns):
            codes[:, place] = values[0]
            codes[: len(values), place] = values
            shares[: len(values), place] = weights / weights.sum()
        return cls(codes, shares)

    def drawn(self, count: int, chance: np.random.Generator) -> Matrix:
        """Return rows of values that are each drawn alone, float32 of shape (count, n_features)."""
        return self.codes[self.places(count, chance), np.arange(self.codes.shape[1])]

    def places(self, count: int, chance: np.random.Generator) -> NDArray[np.int64]:
        """Return which points are drawn, shape (count, n_features)."""
        drawn = chance.random((count, self.codes.shape[1]))
        limits = np.cumsum(self.shares, axis=0)
        columns = [
            np.searchsorted(limits[:, each] / limits[-1, each], drawn[:, each], side="right")
            for each in range(self.codes.shape[1])
        ]
        return np.stack(columns, axis=1).astype(np.int64)


def points_of(feature: Feature, spread: Distribution | None, *, otherwise: float) -> Column:
    """Return the codes that a feature has, and the share of each."""
    if spread is None:
        return np.array([otherwise]), np.ones(1)
    if feature.kind.holds == "number":
        values, shares = numbers_of(feature, spread, otherwise=otherwise)
    else:
        shares = np.array(spread.shares)
        values = np.arange(len(shares), dtype=np.float64)
    values = np.append(values, missing_code(feature))
    shares = np.append(shares * (1 - spread.missing), spread.missing)
    taken = shares > 0
    if not taken.any():
        return np.array([otherwise]), np.ones(1)
    return values[taken], shares[taken]


def numbers_of(feature: Feature, spread: Distribution, *, otherwise: float) -> Column:
    """Return the points of the bins of a number.

    A bin holds its lower edge; the first begins with the least value, the last ends with the
    greatest. Whole numbers have whole points.
    """
    if not spread.shares:
        return np.zeros(0), np.zeros(0)
    if spread.minimum is None or spread.maximum is None:
        return np.array([otherwise]), np.ones(1)
    limits = np.array([spread.minimum, *spread.edges, spread.maximum])
    if feature.kind.whole:
        limits = np.ceil(limits)
        limits[-1] = np.floor(spread.maximum) + 1
    within = (np.arange(POINTS) + 0.5) / POINTS
    points = limits[:-1, None] + np.diff(limits)[:, None] * within
    if feature.kind.whole:
        points = np.clip(np.floor(points), spread.minimum, spread.maximum)
    return points.ravel(), np.repeat(np.array(spread.shares) / POINTS, POINTS)
