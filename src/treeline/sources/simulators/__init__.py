"""Simulators: parsed figures → any number of made-up rows, streamed as arrow tables."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class Simulator(Protocol):
    """Makes rows from figures; built with the parsed figures and its own keyword options."""

    def simulate(self, rows: int, *, seed: int, chunk_rows: int = 500_000) -> "Iterator[pa.Table]":
        """Return tables of `chunk_rows` rows, the last one shorter, that share one schema.

        The rows depend on `rows` and `seed` alone. Raises SourceError on impossible arguments.
        """
        ...


SIMULATORS = {
    "card_fraud": "treeline.sources.simulators.card_fraud:CardFraud",
    "penguins": "treeline.sources.simulators.penguins:Penguins",
    "tree_experiment": "treeline.sources.simulators.tree_experiment:TreeExperiment",
}
