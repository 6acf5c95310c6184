"""Rows of the log → Parquet, a row group at a time, through a file without a name."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from api.prediction_log.exports import COLUMNS, NUMBERS, TIMES, Pages, Row, plain

CHUNK_BYTES = 1 << 18
GROUP_ROWS = 20_000
TIME = pyarrow.timestamp("us", tz="UTC")
SCHEMA = pyarrow.schema(
    [
        (
            name,
            TIME if name in TIMES else pyarrow.float64() if name in NUMBERS else pyarrow.string(),
        )
        for name in COLUMNS
    ]
)


def parquet_chunks(pages: Pages, folder: Path) -> Iterator[bytes]:
    """Yield the bytes of a Parquet file, which is in `folder` meanwhile: it ends with its index."""
    with tempfile.TemporaryFile(dir=folder) as file:
        with parquet.ParquetWriter(file, SCHEMA) as writer:
            for rows in groups(pages):
                writer.write_table(table(rows))
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def groups(pages: Pages) -> Iterator[list[Row]]:
    """Yield the rows of several pages together; at least once, if only no rows at all."""
    rows: list[Row] = []
    for page in pages:
        rows += page
        if len(rows) >= GROUP_ROWS:
            yield rows
            rows = []
    yield rows


def table(rows: list[Row]) -> Any:
    """Return rows as a table: plain texts and numbers, objects as JSON."""
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    for name in TIMES:
        columns[name] = [None if at is None else round(at * 1e6) for at in columns[name]]
    for name in ("prediction", "truth"):
        columns[name] = [plain(each) for each in columns[name]]
    return pyarrow.table([columns[name] for name in COLUMNS], schema=SCHEMA)
