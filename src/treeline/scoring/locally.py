"""Scoring on this machine: Parquet or a CSV → Parquet, batch after batch, a few at a time."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet
from tqdm import tqdm

from treeline.artifact.store import Model
from treeline.errors import DataError, SourceError
from treeline.files import replacing_folder
from treeline.scoring import Job, Packed, unpacked
from treeline.scoring.predicting import ERROR, SHOWN, check_keep, refuse, scored
from treeline.scoring.reading import CSV, check_columns, csv_rows
from treeline.tables import write_tables

BATCH_ROWS = 131_072  # of tree seedlings 13 MB; a few more than there are threads are in memory


class Tally:
    """How many rows there were, how many were bad, and what is wrong with the first of those."""

    def __init__(self, bar: tqdm) -> None:
        self.rows = self.bad_rows = 0
        self._first: list[str] = []
        self._bar = bar

    def passing(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Pass scored tables on, counting."""
        for table in tables:
            errors = pc.drop_null(table.column(ERROR))
            self.rows += table.num_rows
            self.bad_rows += len(errors)
            self._first += errors.slice(0, SHOWN).to_pylist()
            self._bar.update(table.num_rows)
            yield table

    def settle(self, job: Job) -> None:
        """Raise DataError where there were bad rows that are not to be reported."""
        if self.bad_rows and not job.reporting:
            refuse(self._first, bad_rows=self.bad_rows, rows=self.rows)


def score(model: Packed, job: Job) -> int:
    """Score a file into a file, or each file of a folder into one of the same name.

    Memory is bounded by a few batches, however many rows there are; every core takes part. Raises
    SourceError and DataError.
    """
    opened = unpacked(model)
    check_keep(job.keep, opened.signature)
    files = parquet_files(job.source)
    try:
        total = _rows_of(files)
        with tqdm(total=total, unit=" rows", unit_scale=True, disable=None) as bar:
            tally = Tally(bar)
            if job.source.is_file():
                write_tables(job.target, _until_settled(opened, job, tally))
            else:
                _score_folder(files, opened, job, tally)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{job.source}: cannot be scored: {error}") from error
    return tally.rows


def parquet_files(source: Path) -> list[Path]:
    """Return the file, or the files of a folder in order; raises SourceError where there are none.

    Files and folders whose names begin with a dot or an underscore are notes of other programs.
    """
    if source.is_file():
        return [source]
    files = [
        file
        for file in sorted(source.rglob("*.parquet"))
        if not any(part[0] in "._" for part in file.relative_to(source).parts)
    ]
    if not files:
        raise SourceError(f"{source}: no Parquet there; give a file or a folder with *.parquet")
    return files


def _rows_of(files: list[Path]) -> int | None:
    """Return how many rows there are, or None where only reading tells."""
    if any(file.suffix.lower() == CSV for file in files):
        return None
    rows: int = sum(parquet.ParquetFile(file).metadata.num_rows for file in files)
    return rows


def _score_folder(files: list[Path], model: Model, job: Job, tally: Tally) -> None:
    with replacing_folder(job.target) as draft:
        for file in files:
            tables = tally.passing(_tables(file, model, job.keep))
            write_tables(draft / file.relative_to(job.source), tables)
        tally.settle(job)


def _until_settled(model: Model, job: Job, tally: Tally) -> Iterator[pa.Table]:
    """Yield the scored rows of a file; whoever writes them gives up where they are refused."""
    yield from tally.passing(_tables(job.source, model, job.keep))
    tally.settle(job)


def _tables(file: Path, model: Model, keep: tuple[str, ...]) -> Iterator[pa.Table]:
    """Yield the scored rows of a file in order, the first table empty, so that there is one."""
    read = csv_rows if file.suffix.lower() == CSV else _parquet_rows
    with closing(read(file, model, keep)) as batches:
        work = partial(_scored, model, keep, file.name)
        yield work(0, next(batches))
        yield from _ahead(work, batches)


def _parquet_rows(file: Path, model: Model, keep: tuple[str, ...]) -> Generator[pa.RecordBatch]:
    """Yield the columns needed, after an empty batch of them; raises DataError."""
    with parquet.ParquetFile(file) as opened:
        schema = opened.schema_arrow.remove_metadata()
        try:
            check_columns(schema, model.signature.features, keep=keep)
        except DataError as error:
            raise DataError(f"{file}: {error}") from None
        wanted = {*model.signature.features, *keep}
        columns = [name for name in schema.names if name in wanted]
        yield pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in columns]))
        yield from opened.iter_batches(BATCH_ROWS, columns=columns)


def _scored(
    model: Model, keep: tuple[str, ...], name: str, start: int, batch: pa.RecordBatch
) -> pa.Table:
    batch = batch.replace_schema_metadata(None)
    result = scored(batch, model, keep=keep, place=lambda row: f"{name}, row {start + row + 1}")
    return pa.Table.from_batches([result])


def _ahead(
    work: Callable[[int, pa.RecordBatch], pa.Table], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.Table]:
    """Yield the results of batches in order, computed by a thread for each core.

    Arrow and the ONNX session let other threads run while they compute.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    waiting: deque[Future[pa.Table]] = deque()
    start = 0
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            waiting.append(pool.submit(work, start, batch))
            start += batch.num_rows
            if len(waiting) > (threads or 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
