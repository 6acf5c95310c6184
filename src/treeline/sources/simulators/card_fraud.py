"""Card payments, one in five hundred a fraud: figures → simulated payments, as arrow tables.

Every BLOCK_ROWS payments draw from their own stream of chance: rows do not depend on the size of
the chunks, and whole blocks of the same seed are the beginning of more.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from treeline.errors import SourceError

BLOCK_ROWS = 10_000
TARGET = "Class"


class CardFraud:
    """Simulates payments by anonymous components `V1`, `V2`, … and an `Amount`; `Class` 1 is fraud.

    Frauds are of kinds that differ from honest payments each in its own way, so that no straight
    line parts them, and one kind hardly differs at all, so that no model finds them all.
    """

    def __init__(self, figures: Mapping[str, Any], *, variant: str = "deposited") -> None:
        """Take the parsed figures; raises SourceError for a variant, of which there are none."""
        if variant != "deposited":
            raise SourceError(f"variant: card_fraud has no variant {variant!r}; leave it out")
        self._figures = figures

    def simulate(self, rows: int, *, seed: int, chunk_rows: int = 500_000) -> Iterator[pa.Table]:
        """Return tables of at most `chunk_rows` payments, rounded up to whole blocks."""
        gathered: list[pa.Table] = []
        for number, first in enumerate(range(0, rows, BLOCK_ROWS)):
            gathered.append(self._block(min(BLOCK_ROWS, rows - first), [seed, number]))
            if len(gathered) * BLOCK_ROWS >= chunk_rows:
                yield pa.concat_tables(gathered).combine_chunks()
                gathered = []
        if gathered:
            yield pa.concat_tables(gathered).combine_chunks()

    def _block(self, rows: int, seed: list[int]) -> pa.Table:
        figures, chance = self._figures, np.random.default_rng(seed)
        kinds, deviations = list(figures["kinds"].values()), np.array(figures["deviations"])
        kind = chance.choice(len(kinds), size=rows, p=[each["share"] for each in kinds])
        freedom = figures["degrees_of_freedom"]
        drawn = chance.standard_t(freedom, (rows, len(deviations)))
        drawn *= np.sqrt((freedom - 2) / freedom)  # now of deviation 1
        for number, figures_of_kind in enumerate(kinds):
            if figures_of_kind["shifts"]:
                drawn[kind == number] += figures_of_kind["shifts"]
        components = np.round(deviations * drawn, 6)
        mean = np.array([each["log_mean"] for each in kinds])[kind]
        deviation = np.array([each["log_deviation"] for each in kinds])[kind]
        amount = np.exp(mean + deviation * chance.standard_normal(rows))
        columns = {f"V{place + 1}": values for place, values in enumerate(components.T)}
        columns["Amount"] = np.round(np.minimum(amount, figures["largest_amount"]), 2)
        return pa.table(columns | {TARGET: np.array([each["fraud"] for each in kinds])[kind]})
