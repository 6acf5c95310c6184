"""Which test rows vary together: each alone, those of a group, or a stretch of a time."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.config.split import Split
from treeline.preparation.forward import moments_of, stretches

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
        """Return the units of some rows, by position."""
        codes, known = pd.factorize(self.codes[rows])
        return Units(self.kind, codes, len(known), self.name)

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
