"""File source: a CSV or Parquet file versioned by DVC under `dataset/sources/file` → tables."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from treeline.config.sources import FileSource
from treeline.sources.reading import format_of, read_tables


class FileTables:
    """The rows of one file."""

    def __init__(self, spec: FileSource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in file order; raises SourceError."""
        spec = self._spec
        return read_tables(Path(spec.path), suffix=format_of(spec.path), spec=spec, name=spec.path)
