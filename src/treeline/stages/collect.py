"""Collect stage: declared source → dataset/<model>/raw.parquet."""

from collections.abc import Iterator

import pyarrow as pa
from tqdm import tqdm

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.errors import SourceError
from treeline.registry import resolve
from treeline.sources import SOURCES, Source
from treeline.stages.running import run
from treeline.tables import write_tables


def collect(spec: ModelSpec, paths: Layout) -> str:
    """Write every row and column of the source, as it has them."""
    source_class = resolve(SOURCES, spec.source.kind, place=f"models.{paths.name}.source.kind")
    source: Source = source_class(spec.source)
    rows = write_tables(paths.raw, _counted(source.tables()))
    if rows == 0:
        raise SourceError(f"models.{paths.name}.source: it has no rows")
    return f"{rows:,} rows from {spec.source.kind}"


def _counted(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    with tqdm(unit=" rows", unit_scale=True, disable=None) as bar:
        for table in tables:
            yield table
            bar.update(table.num_rows)


if __name__ == "__main__":
    run("collect", collect)
