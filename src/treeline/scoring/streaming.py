"""What a worker of Spark does for a task: its batches, one after another, → the scored batches.

A worker imports this module and with it no more than serving needs.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from treeline.scoring import Packed, unpacked
from treeline.scoring.predicting import scored

FILE, ROW = "_treeline_file", "_treeline_row"  # where a row comes from, for messages


def streamed(
    model: Packed, keep: tuple[str, ...], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Score batches that hold their rows' file and position, counted from 0, beside the columns."""
    opened = unpacked(model)
    for batch in batches:
        files, rows = batch.column(FILE), batch.column(ROW)

        def place(row: int, files: Any = files, rows: Any = rows) -> str:
            return f"{files[row].as_py()}, row {rows[row].as_py() + 1}"

        yield scored(batch, opened, keep=keep, place=place)
