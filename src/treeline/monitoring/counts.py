"""Columns of logged rows → counts by feature. Pure."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from treeline.contract.counts import Bins, Counts, of_numbers, of_texts


def counted(column: pa.ChunkedArray | pa.Array, bins: Bins) -> Counts:
    """Count one column of logged values: float64 for numbers, text for anything else."""
    missing = column.null_count
    if bins.values:
        return _texts(column, bins, missing=missing)
    filled = column.fill_null(float(bins.fill)) if bins.fill is not None else column.drop_null()
    return of_numbers(filled.to_numpy(), bins, rows=len(column), missing=missing)


def _texts(column: Any, bins: Bins, *, missing: int) -> Counts:
    if bins.fill is not None:
        column = column.fill_null(bins.fill_text)
    counts = pc.value_counts(column.drop_null()).to_pylist()
    names = {each["values"]: each["counts"] for each in counts}
    return of_texts(names, bins, rows=len(column), missing=missing)
