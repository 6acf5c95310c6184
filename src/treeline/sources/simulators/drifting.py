"""Simulated tables → those of a world that has changed, which a monitor is to notice."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from treeline.config.sources import Drift
from treeline.errors import SourceError

HAZARD = "hazard_base"  # of the tree experiment: the log odds to die at each census
STREAM = 1  # of chance, beside those of the simulators


def turned_dry(figures: Mapping[str, Any], drift: Drift) -> dict[str, Any]:
    """Return figures in which more die; raises SourceError where nobody does."""
    if not drift.dry:
        return dict(figures)
    if HAZARD not in figures:
        raise SourceError("source.drift.dry: only the tree experiment has a dry year; leave it out")
    dry = np.asarray(figures[HAZARD], dtype=np.float64) + drift.dry
    return {**figures, HAZARD: dry.tolist()}


def drifted(tables: Iterable[pa.Table], drift: Drift, *, seed: int) -> Iterator[pa.Table]:
    """Yield tables of the same columns, in which the declared share of the rows is otherwise.

    Which rows these are does not depend on the size of the tables. Raises SourceError for a column
    that is not there, or is of another type.
    """
    chance = np.random.default_rng([seed, STREAM])
    for table in tables:
        struck = pa.array(chance.random(table.num_rows) < drift.share)
        changed = table
        for name in (*drift.units, *drift.newcomers, *drift.turned):
            if name not in table.column_names:
                raise SourceError(
                    f"source.drift: there is no column {name!r}; choose from "
                    f"{', '.join(table.column_names)}"
                )
            try:
                column = _otherwise(name, table[name], drift)
                column = pc.if_else(struck, column, _plain(table[name]))
            except pa.ArrowException as error:
                raise SourceError(f"source.drift: {name!r} cannot be changed: {error}") from error
            changed = changed.set_column(changed.column_names.index(name), name, column)
        yield changed


def _otherwise(name: str, column: pa.ChunkedArray, drift: Drift) -> Any:
    """Return a whole column as it is in the other world."""
    if name in drift.units:
        return pc.cast(pc.multiply(pc.cast(column, pa.float64()), drift.units[name]), column.type)
    if name in drift.newcomers:
        return pa.scalar(drift.newcomers[name], pa.string())
    return pc.cast(pc.subtract(1, pc.cast(column, pa.int64())), column.type)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return words as such: a dictionary has no room for another one."""
    return pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column
