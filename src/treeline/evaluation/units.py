"""Which rows vary together, and all rows in parts that refits on the others predict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.config.blocks import Split
from treeline.errors import DataError
from treeline.preparation.splitting import moments_of, stretches

FEWEST = 8  # below, the deviation between units is itself a guess: benchmarks coverage
BLOCKS = 20  # stretches of an order: few and long, so that they hardly know of each other

Array = NDArray[Any]


@dataclass(frozen=True)
class Units:
    """What is independent among n_rows test rows: `codes` gives the unit of each row, int64.

    `count` is how many units there are, and `effective` how many of equal size would do as well:
    the square of the rows over the sum of the squared sizes (Kish 1965).
    """

    kind: Literal["rows", "groups", "blocks"]
    codes: Array
    count: int
    name: str = ""

    @classmethod
    def rows(cls, n_rows: int) -> Self:
        """Take each row for itself."""
        return cls("rows", np.arange(n_rows), n_rows)

    @classmethod
    def groups(cls, values: Any, *, name: str = "") -> Self:
        """Take the rows of a group together; `values` of shape (n_rows,) name the groups."""
        codes, known = pd.factorize(values, use_na_sentinel=False)
        return cls("groups", codes, len(known), name)

    @classmethod
    def blocks(cls, times: Array, *, name: str = "") -> Self:
        """Take BLOCKS stretches of time; `times`, shape (n_rows,), say when each row was.

        Each has about as many rows. Rows of one moment are in one stretch, which may leave fewer.
        """
        codes = stretches(times, min(BLOCKS, len(times)))
        return cls("blocks", codes, len(np.unique(codes)), name)

    @classmethod
    def of(cls, table: pd.DataFrame, split: Split) -> Self:
        """Return what a declared split says of the rows of a prepared table."""
        if split.after is not None:
            return cls.blocks(moments_of(table, split.after), name=next(iter(split.after)))
        if split.group is not None:
            return cls.groups(table[split.group].to_numpy(), name=split.group)
        return cls.rows(len(table))

    def part(self, rows: Array) -> "Units":
        """Return the units of some rows, by position. `rows` are integers of shape (n_some,)."""
        codes, known = pd.factorize(self.codes[rows])
        return Units(self.kind, codes, len(known), self.name)

    def dealt(self, most: int) -> "Units":
        """Return at most so many units, each of whole ones of these, of about the same size."""
        if self.count <= most:
            return self
        if self.kind == "rows":
            codes = np.empty(self.count, dtype=np.int64)
            codes[np.random.default_rng(0).permutation(self.count)] = np.arange(self.count) % most
        else:
            codes = parts_of(self, most, seed=0)
        return Units(self.kind, codes, most, self.name)

    @property
    def sizes(self) -> Array:
        """The rows of each unit, shape (count,)."""
        return np.bincount(self.codes, minlength=self.count)

    @property
    def effective(self) -> float:
        """How many units of equal size tell as much."""
        return float(len(self.codes) ** 2 / np.sum(self.sizes.astype(np.float64) ** 2))

    @property
    def enough(self) -> bool:
        """Whether there are enough for an interval."""
        return self.effective >= FEWEST - 1 and self.count >= FEWEST

    @property
    def words(self) -> str:
        """How many of what, such as `18 groups of Plot`."""
        of = f" of {self.name}" if self.name else ""
        return f"{self.count:,} {self.kind}{of}"


MOST_REFITS = 200  # of each estimator, for `folds: all`


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
    pieces: dict[str, list[Prediction]] = {name: [] for name in estimators}
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
            pieces[name].append(predict(refitted, frame.iloc[rows]))
    return {name: _joined(each, np.concatenate(rows_of)) for name, each in pieces.items()}


def _joined(pieces: list[Prediction], rows: Array) -> Prediction:
    """Return the pieces as one, in the order of rows."""
    back = np.argsort(rows)

    def whole(key: str) -> Array | None:
        parts = [getattr(piece, key) for piece in pieces]
        return None if parts[0] is None else np.concatenate(parts)[back]

    return Prediction(labels=whole("labels"), scores=whole("scores"), values=whole("values"))
