"""Checked rows in a folder of Parquet → both splits, a part at a time.

Only the target, the group, the hash and the number of each row are ever in memory whole, and one
column of numbers after the other while it is looked at.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import dataset, parquet

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.selecting import filled
from treeline.preparation.spacing import check_spacing
from treeline.preparation.splitting import record, split
from treeline.preparation.streaming import FAULT, HASH, ROW
from treeline.preparation.summary import summarised
from treeline.tables import write_tables

BATCH_ROWS = 131_072
GROUP_ROWS = 1 << 20  # rows of a row group, as pyarrow has them where a table is written at once


class CheckedRows:
    """Rows that were checked for a spec, in parts; `typed` is an empty frame of their types."""

    def __init__(self, folder: Path, spec: ModelSpec, typed: pd.DataFrame) -> None:
        """Look at the parts; raises DataError where a row breaks its declaration."""
        self._spec, self._typed = spec, typed
        self._rows = dataset.dataset(folder, format="parquet")
        self._parts = sorted(folder.glob("*.parquet"), key=_first_row)
        self._refuse_faults()
        check_spacing(self._column, spec.features)
        self.kept = self._rows.count_rows()
        known = dataset.field(spec.target.name).is_valid()
        self.missing = {
            name: count
            for name in spec.features
            if (count := self._rows.count_rows(filter=dataset.field(name).is_null() & known))
        }

    def _column(self, name: str) -> pd.Series:
        """Return the values of a column of the rows that have a target, in no order."""
        known = dataset.field(self._spec.target.name).is_valid()
        column: pd.Series = self._rows.to_table(columns=[name], filter=known).to_pandas()[name]
        return column

    def keys(self) -> pd.DataFrame:
        """Return number, hash, target, group and moment of each row with a target, in order."""
        split = self._spec.split
        by = {*filter(None, [split.group]), *(split.after or ())} - {self._spec.target.name}
        names = [self._spec.target.name, *sorted(by)]
        known = dataset.field(names[0]).is_valid()  # in Arrow, for no hash may become a float
        keys = self._rows.to_table(columns=[ROW, HASH, *names], filter=known).to_pandas()
        keys = keys.sort_values(ROW, ignore_index=True)
        typed: pd.DataFrame = keys.astype(self._typed.dtypes[names].to_dict())
        return typed

    def write(self, target: Path, numbers: pd.Series) -> None:
        """Write the rows that have these numbers, in order, missing values filled."""
        wanted = np.zeros(int(numbers.max()) + 1, dtype=np.bool_)
        wanted[numbers] = True
        write_tables(target, _gathered(self._chosen(wanted)))

    def _chosen(self, wanted: NDArray[np.bool_]) -> Iterator[pa.Table]:
        last = -1
        for part in self._parts:
            for batch in parquet.ParquetFile(part).iter_batches(BATCH_ROWS):
                rows = np.asarray(batch.column(ROW))
                assert (np.diff(rows, prepend=last) > 0).all(), "no order was kept within a file"
                last = int(rows[-1]) if len(rows) else last
                inside = rows < len(wanted)
                inside[inside] = wanted[rows[inside]]
                frame = batch.filter(pa.array(inside)).to_pandas()[list(self._typed)]
                frame = filled(frame.astype(self._typed.dtypes.to_dict()), self._spec.features)
                yield pa.Table.from_pandas(frame, preserve_index=False)

    def _refuse_faults(self) -> None:
        faulty = dataset.field(FAULT).is_valid()
        if count := self._rows.count_rows(filter=faulty):
            told = self._rows.to_table(columns=[ROW, FAULT], filter=faulty).sort_by(ROW)
            more = f"\nand {count - 1} more stretches of rows with faults" if count > 1 else ""
            raise DataError(told.column(FAULT)[0].as_py() + more)


def split_checked(
    rows: CheckedRows, spec: ModelSpec, paths: Layout, *, collected: int
) -> dict[str, Any]:
    """Write both splits; return the summary, in which repeated rows are not counted yet.

    `collected` is how many rows there were. Raises DataError.
    """
    keys = rows.keys()
    if keys.empty:
        raise DataError(
            f"column {spec.target.name!r}: no row that source.where admits has a target; "
            "correct the condition, or the source"
        )
    found = keys[HASH].to_numpy(dtype=np.int64).view(np.uint64)
    train, test = split(keys, found=found, split=spec.split, target=spec.target)
    told = summarised(keys, (train, test), spec=spec)
    rows.write(paths.train, train[ROW])
    rows.write(paths.test, test[ROW])
    counts = {
        "collected": collected,
        "left_out_by_where": collected - rows.kept,
        "without_target": rows.kept - len(keys),
        "train": len(train),
        "test": len(test),
    }
    sides = record(spec, found, keys, test=len(test))
    return {"rows": counts, "missing": rows.missing, "duplicates": 0, **told, **sides}


def _first_row(part: Path) -> int:
    """Return the number of the first row of a part, which holds a stretch of rows."""
    for batch in parquet.ParquetFile(part).iter_batches(1, columns=[ROW]):
        return int(batch.column(ROW)[0].as_py())
    return 0


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of GROUP_ROWS, the last one shorter."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        whole = pa.concat_tables(waiting) if sum(map(len, waiting)) >= GROUP_ROWS else None
        if whole is not None:
            yield whole.slice(0, GROUP_ROWS).combine_chunks()
            waiting = [whole.slice(GROUP_ROWS)]
    yield pa.concat_tables(waiting).combine_chunks()
