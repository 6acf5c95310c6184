"""Parquet files ↔ pandas frames; written whole or not at all.

Beside `treeline.tables`, because pandas takes a second to import, which what handles tables alone
does not need.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from treeline.tables import write_tables


def write_frame(target: Path, frame: pd.DataFrame) -> None:
    """Write a frame, without its index, to a Parquet file."""
    write_tables(target, [pa.Table.from_pandas(frame, preserve_index=False)])


def read_frame(path: Path) -> pd.DataFrame:
    """Read a Parquet file as a frame; two columns of one name are for the caller to refuse."""
    with parquet.ParquetFile(path) as file:
        frame: pd.DataFrame = file.read().to_pandas()
    return frame
