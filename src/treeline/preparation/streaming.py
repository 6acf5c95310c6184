"""What a worker of Spark does for a task of preparation: its batches, one after another, checked.

Rows are selected, typed and checked by the code that does it for a whole frame; none is left out
that `where` admits. A row keeps its number, counted from 0. A batch with faults comes out as one
row that tells of them.
"""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.checking import check
from treeline.preparation.selecting import meets

ROW, FAULT = "_treeline_row", "_treeline_fault"


def columns(typed: pd.DataFrame) -> pa.Schema:
    """Return the schema of checked rows, for a frame of them that may be empty."""
    marked = typed.assign(**{ROW: pd.Series(dtype="int64"), FAULT: pd.Series(dtype="str")})
    return pa.Schema.from_pandas(marked, preserve_index=False).remove_metadata()


def checked(
    spec: ModelSpec, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each batch that `where` admits, typed; those without a target all empty."""
    for batch in batches:
        frame = batch.to_pandas().set_index(ROW)
        for name, condition in spec.source.where.items():
            frame = frame[meets(frame[name], condition)]
        if len(frame):
            yield from _told(frame, spec, schema)


def _told(frame: pd.DataFrame, spec: ModelSpec, schema: pa.Schema) -> list[pa.RecordBatch]:
    known = frame[frame[spec.target.name].notna()]
    try:
        typed = check(known, spec).reindex(frame.index) if len(known) else frame.iloc[:, :0]
        marked = typed.reset_index().assign(**{FAULT: None})
    except DataError as error:
        marked = pd.DataFrame({ROW: [frame.index[0]], FAULT: [str(error)]})
    table = pa.Table.from_pandas(marked.reindex(columns=schema.names), schema=schema)
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches
