"""Penguins: counts, means and deviations by species and sex → simulated birds, as arrow tables.

Every 344 birds, as many as were published, draw from their own stream of chance: rows do not depend
on the size of the chunks, and fewer rows of the same seed are the beginning of more.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treeline.errors import SourceError

SEXES = ("female", "male")
COLUMNS = {
    "species": pa.string(),
    "island": pa.string(),
    "bill_length_mm": pa.float64(),
    "bill_depth_mm": pa.float64(),
    "flipper_length_mm": pa.int64(),
    "body_mass_g": pa.int64(),
    "sex": pa.string(),
}
SCHEMA = pa.schema(COLUMNS)


class Penguins:
    """Simulates the penguins of the Palmer archipelago; lengths in mm, mass in g."""

    def __init__(self, figures: Mapping[str, Any], *, variant: str = "deposited") -> None:
        """Take the parsed figures; raises SourceError for a variant, of which there are none."""
        if variant != "deposited":
            raise SourceError(f"variant: penguins have no variant {variant!r}; leave it out")
        self._figures = figures

    def simulate(self, rows: int, *, seed: int, chunk_rows: int = 500_000) -> Iterator[pa.Table]:
        """Return tables of at most `chunk_rows` birds with COLUMNS as schema."""
        colonies = (self._colony(seed, number) for number in count())
        waiting, left = next(colonies), rows
        while left > 0:
            wanted = min(left, chunk_rows)
            while waiting.num_rows < wanted:
                waiting = pa.concat_tables([waiting, next(colonies)])
            yield waiting.slice(0, wanted).combine_chunks()
            waiting, left = waiting.slice(wanted), left - wanted

    def _colony(self, seed: int, number: int) -> pa.Table:
        chance = np.random.default_rng([seed, number])
        birds = pa.concat_tables(
            [self._of_species(name, chance) for name in self._figures["species"]]
        )
        return birds.take(pa.array(chance.permutation(birds.num_rows)))

    def _of_species(self, name: str, chance: np.random.Generator) -> pa.Table:
        """Return the birds of one species, in no order that would tell anything."""
        group = self._figures["species"][name]
        unknown = group["unknown"]
        sex = np.repeat([0, 1, 0, 1], [group["female"], group["male"], (unknown + 1) // 2,
                                       unknown // 2])  # fmt: skip
        noted = np.arange(len(sex)) < len(sex) - unknown
        measured = np.arange(len(sex)) < len(sex) - group["unmeasured"]
        islands = np.repeat(list(group["islands"]), list(group["islands"].values()))
        return pa.table(
            {
                "species": [name] * len(sex),
                "island": chance.permutation(islands).tolist(),
                **self._measures(group, sex, measured, chance),
                "sex": pa.array(np.take(SEXES, sex), mask=~noted),
            },
            schema=SCHEMA,
        )

    def _measures(
        self,
        group: Mapping[str, Any],
        sex: NDArray[np.int64],
        measured: NDArray[np.bool_],
        chance: np.random.Generator,
    ) -> dict[str, pa.Array]:
        """Return each measure, rounded to the step it was taken in, missing where not measured."""
        figures, common = self._figures, self._figures["common"]
        own = chance.standard_normal((len(sex), len(figures["measures"])))
        shared = chance.standard_normal((len(sex), 1))
        mean = np.array([group["mean"][name] for name in SEXES])[sex]
        deviation = np.array([group["deviation"][name] for name in SEXES])[sex]
        values = mean + deviation * (np.sqrt(1 - common) * own + np.sqrt(common) * shared)
        steps = np.array(figures["steps"])
        values = np.round(np.round(values / steps) * steps, 1)
        return {
            name: pa.array(values[:, place], mask=~measured).cast(COLUMNS[name])
            for place, name in enumerate(figures["measures"])
        }
