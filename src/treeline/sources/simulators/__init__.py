"""Simulated source: a simulator and its figures → any number of made-up rows, from one seed."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from treeline.config.layout import SOURCES as FOLDER
from treeline.config.sources import SimulateSource
from treeline.registry import resolve
from treeline.sources.simulators.drifting import drifted, turned_dry

if TYPE_CHECKING:
    pass


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


class SimulatedTables:
    """Rows drawn by a simulator; the same rows for the same declaration."""

    def __init__(self, spec: SimulateSource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in chunks; raises UnknownNameError for an unknown simulator."""
        spec = self._spec
        simulator = resolve(SIMULATORS, spec.simulator, place="source.simulator")
        figures = json.loads(
            (FOLDER / "simulate" / f"{spec.simulator}.json").read_text(encoding="utf-8")
        )
        if spec.drift is not None:
            figures = turned_dry(figures, spec.drift)
        drawn: Iterator[pa.Table] = simulator(figures, variant=spec.variant).simulate(
            spec.rows, seed=spec.seed
        )
        return drawn if spec.drift is None else drifted(drawn, spec.drift, seed=spec.seed)
