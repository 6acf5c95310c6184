"""Simulated source: a simulator and its figures → tables drawn from one seed."""

import json
from collections.abc import Iterator

import pyarrow as pa

from treeline.config.layout import SOURCES as FOLDER
from treeline.config.sources import SimulateSource
from treeline.registry import resolve
from treeline.sources.simulators import SIMULATORS


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
        drawn: Iterator[pa.Table] = simulator(figures, variant=spec.variant).simulate(
            spec.rows, seed=spec.seed
        )
        return drawn
