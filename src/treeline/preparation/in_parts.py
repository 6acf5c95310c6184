"""Preparation on this machine: raw.parquet → train.parquet, test.parquet, a part at a time.

Parts are selected, typed and checked by the code that does it for a whole frame, and the split is
drawn from the target and the group of every row, so that both files are those that come of all rows
at once. Few rows are prepared at once: what is wrong with them is then told by column.
"""

import shutil
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from tqdm import tqdm

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.preparation import whole
from treeline.preparation.checked import CheckedRows, split_checked
from treeline.preparation.streaming import FAULT, ROW, checked, columns, typed_columns
from treeline.tables import write_tables

MOST_AT_ONCE = 500_000  # rows; ten columns of them take a quarter of a gigabyte
PART_ROWS = 131_072
PARTS_IN_A_FILE = 8  # they are in memory together


def prepare_files(spec: ModelSpec, paths: Layout) -> dict[str, Any]:
    """Write both splits and return the summary; raises DataError."""
    rows = parquet.read_metadata(paths.raw).num_rows
    if rows <= MOST_AT_ONCE:
        return whole.prepare_files(spec, paths)
    return prepare_parts(spec, paths, part_rows=PART_ROWS)


def prepare_parts(spec: ModelSpec, paths: Layout, *, part_rows: int) -> dict[str, Any]:
    """Do so in parts of so many rows, however many there are; raises DataError."""
    rows = parquet.read_metadata(paths.raw).num_rows
    typed = typed_columns(paths.raw, spec)
    folder = paths.dataset.resolve() / f".checked.{uuid4().hex}.draft"
    try:
        folder.mkdir(parents=True)
        repeated = Repeated(spec, typed)
        tables = repeated.passing(_checked(paths.raw, spec, typed, part_rows=part_rows))
        _write_parts(folder, tables, empty=columns(typed).empty_table())
        found = split_checked(CheckedRows(folder, spec, typed), spec, paths, collected=rows)
        return found | {"duplicates": repeated.count()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Repeated:
    """Counts rows whose features are those of an earlier row, by 8 bytes of each row.

    Two unlike rows are taken for alike with a chance of one in 90,000 among 20,000,000.
    """

    def __init__(self, spec: ModelSpec, typed: pd.DataFrame) -> None:
        self._target, self._features = spec.target.name, list(spec.features)
        self._types = typed[self._features].dtypes.to_dict()
        self._digests: list[NDArray[np.uint64]] = []

    def passing(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Pass tables of checked rows on, noting those that have a target and no fault."""
        for table in tables:
            frame = table.select([*self._features, self._target, FAULT]).to_pandas()
            known = frame[frame[self._target].notna() & frame[FAULT].isna()]
            rows = known[self._features].astype(self._types)
            digests = pd.util.hash_pandas_object(rows, index=False)
            self._digests.append(np.asarray(digests, dtype=np.uint64))
            yield table

    def count(self) -> int:
        """Return how many rows repeat an earlier one."""
        digests = np.concatenate([*self._digests, np.empty(0, dtype=np.uint64)])
        return len(digests) - len(np.unique(digests))


def _checked(
    raw: Path, spec: ModelSpec, typed: pd.DataFrame, *, part_rows: int
) -> Iterator[pa.Table]:
    """Yield the checked rows, or what is wrong with them, with their numbers, in order."""
    with (
        parquet.ParquetFile(raw) as file,
        tqdm(total=file.metadata.num_rows, unit=" rows", unit_scale=True, disable=None) as bar,
    ):

        def numbered() -> Iterator[pa.RecordBatch]:
            first = 0
            for batch in file.iter_batches(part_rows, columns=list(typed)):
                numbers = pa.array(np.arange(first, first + batch.num_rows))
                first += batch.num_rows
                yield batch.replace_schema_metadata(None).append_column(ROW, numbers)
                bar.update(batch.num_rows)

        for found in checked(spec, columns(typed), numbered()):
            yield pa.Table.from_batches([found])


def _write_parts(folder: Path, tables: Iterator[pa.Table], *, empty: pa.Table) -> None:
    """Write tables to files of a folder, named in order; at least one."""
    for number in count():
        some = list(islice(tables, PARTS_IN_A_FILE))
        write_tables(folder / f"{number:06d}.parquet", [empty, *some])
        if len(some) < PARTS_IN_A_FILE:
            return
