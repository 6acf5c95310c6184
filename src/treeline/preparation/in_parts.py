"""Preparation on this machine: raw.parquet → train.parquet, test.parquet, a part at a time."""

import shutil
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import dataset, parquet
from tqdm import tqdm

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation import whole
from treeline.preparation.checking import check, check_spacing
from treeline.preparation.columns import (
    ClassKind,
    class_kind,
    declared_columns,
    filled,
    meets,
    texts,
)
from treeline.preparation.splitting import record, row_hashes, split
from treeline.preparation.whole import summarised
from treeline.records.summary import RowCounts, SplitSummary
from treeline.tables import write_tables

ROW, FAULT, HASH = "_treeline_row", "_treeline_fault", "_treeline_hash"
SCAN_ROWS = 131_072
TYPES: dict[ClassKind, str] = {"number": "float64", "boolean": "bool", "text": "str"}


def typed_columns(raw: Path, spec: ModelSpec) -> pd.DataFrame:
    """Return the declared columns without rows, of the types that checked rows will have.

    Whether classes are numbers or names is seen in all of them; raises DataError. Shape (0,
    n_columns).
    """
    empty = parquet.read_schema(raw).remove_metadata().empty_table().to_pandas()
    declared = declared_columns(empty, spec)
    name = spec.target.name
    if spec.source.untyped:
        declared = declared.astype({name: TYPES[_kind_of_classes(raw, spec)]})
    return check(declared, spec)


def _kind_of_classes(raw: Path, spec: ModelSpec) -> ClassKind:
    """Return what the classes of all rows that count are."""
    kinds: set[ClassKind] = set()
    with parquet.ParquetFile(raw) as file:
        for batch in file.iter_batches(SCAN_ROWS, columns=[spec.target.name, *spec.source.where]):
            column = _counted(batch.to_pandas(), spec)[spec.target.name].dropna()
            kinds |= {class_kind(column, untyped=True)} if len(column) else set()
    return kinds.pop() if len(kinds) == 1 else "text"


def _counted(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    for name, condition in spec.source.where.items():
        frame = frame[meets(frame[name], condition)]
    return frame


def columns(typed: pd.DataFrame) -> pa.Schema:
    """Return the schema of checked rows, for a frame of them that may be empty."""
    whole = pd.Series(dtype="int64")
    marked = typed.assign(**{ROW: whole, HASH: whole, FAULT: pd.Series(dtype="str")})
    return pa.Schema.from_pandas(marked, preserve_index=False).remove_metadata()


def checked(
    spec: ModelSpec, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each batch that `where` admits, typed; those without a target all empty."""
    for batch in batches:
        frame = _counted(batch.to_pandas().set_index(ROW), spec)
        if len(frame):
            yield from _batches_of(frame, spec, schema)


def _batches_of(frame: pd.DataFrame, spec: ModelSpec, schema: pa.Schema) -> list[pa.RecordBatch]:
    known = frame[frame[spec.target.name].notna()]
    try:
        typed = _typed(known, spec, schema) if len(known) else known[[]]
        marked = typed.reindex(frame.index).reset_index().assign(**{FAULT: None})
    except DataError as error:
        marked = pd.DataFrame({ROW: [frame.index[0]], FAULT: [str(error)]})
    table = pa.Table.from_pandas(marked.reindex(columns=schema.names), schema=schema)
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches


def _typed(known: pd.DataFrame, spec: ModelSpec, schema: pa.Schema) -> pd.DataFrame:
    """Return checked rows with their hashes, classes as names where those of other rows are."""
    typed = check(known, spec)
    hashed = row_hashes(typed, spec).view(np.int64)
    typed[HASH] = pd.Series(hashed, index=typed.index, dtype="Int64")
    name = spec.target.name
    names = spec.source.untyped and str(schema.field(name).type).endswith("string")
    return typed.assign(**{name: texts(known[name])}) if names else typed


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
        self.admitted = self._rows.count_rows()
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
        """Return number, hash, target, group and moment of each row with a target, in order.

        Shape (n_rows, n_names); hashes are int64.
        """
        split = self._spec.split
        by = {*filter(None, [split.group]), *(split.after or ())} - {self._spec.target.name}
        names = [self._spec.target.name, *sorted(by)]
        known = dataset.field(names[0]).is_valid()  # in Arrow, for no hash may become a float
        keys = self._rows.to_table(columns=[ROW, HASH, *names], filter=known).to_pandas()
        keys = keys.sort_values(ROW, ignore_index=True)
        typed: pd.DataFrame = keys.astype(self._typed.dtypes[names].to_dict())
        return typed

    def write(self, target: Path, numbers: pd.Series) -> None:
        """Write the rows that have these numbers, in order, missing values filled.

        `numbers` are integers of shape (n_some,).
        """
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
            faults = self._rows.to_table(columns=[ROW, FAULT], filter=faulty).sort_by(ROW)
            more = f"\nand {count - 1} more stretches of rows with faults" if count > 1 else ""
            raise DataError(faults.column(FAULT)[0].as_py() + more)


def split_checked(
    rows: CheckedRows, spec: ModelSpec, paths: Layout, *, collected: int
) -> SplitSummary:
    """Write both splits; return the summary, in which repeated rows are not counted yet.

    `collected` is how many rows there were. Raises DataError.
    """
    keys = rows.keys()
    if keys.empty:
        raise DataError(
            f"column {spec.target.name!r}: no row that source.where admits has a target; "
            "correct the condition, or the source"
        )
    hashed = keys[HASH].to_numpy(dtype=np.int64).view(np.uint64)
    train, test = split(keys, hashed=hashed, split=spec.split, target=spec.target)
    summary = summarised(keys, (train, test), spec=spec)
    rows.write(paths.train, train[ROW])
    rows.write(paths.test, test[ROW])
    counts: RowCounts = {
        "collected": collected,
        "left_out_by_where": collected - rows.admitted,
        "without_target": rows.admitted - len(keys),
        "train": len(train),
        "test": len(test),
    }
    sides = record(spec, hashed, keys, test=len(test))
    return {
        "rows": counts,
        "missing": rows.missing,
        "duplicates": 0,
        **summary,
        "split": sides,
    }


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


MOST_AT_ONCE = 500_000  # rows; ten columns of them take a quarter of a gigabyte
PART_ROWS = 131_072
PARTS_IN_A_FILE = 8  # they are in memory together


def prepare_files(spec: ModelSpec, paths: Layout) -> SplitSummary:
    """Write both splits and return the summary; raises DataError."""
    rows = parquet.read_metadata(paths.raw).num_rows
    if rows <= MOST_AT_ONCE:
        return whole.prepare_files(spec, paths)
    return prepare_parts(spec, paths, part_rows=PART_ROWS)


def prepare_parts(spec: ModelSpec, paths: Layout, *, part_rows: int) -> SplitSummary:
    """Do so in parts of so many rows, however many there are; raises DataError."""
    rows = parquet.read_metadata(paths.raw).num_rows
    typed = typed_columns(paths.raw, spec)
    folder = paths.dataset.resolve() / f".checked.{uuid4().hex}.draft"
    try:
        folder.mkdir(parents=True)
        repeated = Repeated(spec, typed)
        tables = repeated.passing(_checked(paths.raw, spec, typed, part_rows=part_rows))
        _write_parts(folder, tables, empty=columns(typed).empty_table())
        summary = split_checked(CheckedRows(folder, spec, typed), spec, paths, collected=rows)
        summary["duplicates"] = repeated.count()
        return summary
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

        for batch in checked(spec, columns(typed), numbered()):
            yield pa.Table.from_batches([batch])


def _write_parts(folder: Path, tables: Iterator[pa.Table], *, empty: pa.Table) -> None:
    """Write tables to files of a folder, named in order; at least one."""
    for number in count():
        some = list(islice(tables, PARTS_IN_A_FILE))
        write_tables(folder / f"{number:06d}.parquet", [empty, *some])
        if len(some) < PARTS_IN_A_FILE:
            return
