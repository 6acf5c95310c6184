"""Collect stage: declared source → dataset/<model>/raw.parquet."""

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa
from tqdm import tqdm

from treeline.config import Layout
from treeline.config.models import ModelSpec
from treeline.contract.texts import composed
from treeline.errors import SourceError
from treeline.registry import resolve
from treeline.sources import EXTRAS, SOURCES, Source
from treeline.tables import write_tables


def collect(spec: ModelSpec, paths: Layout) -> str:
    """Write every row and column of the source, as it has them."""
    kind, place = spec.source.kind, f"models.{paths.name}.source"
    source_class = resolve(SOURCES, kind, place=f"{place}.kind", extra=EXTRAS.get(kind))
    known = {"earlier": paths.raw} if spec.source.incremental else {}
    source: Source = source_class(spec.source, **known)
    rows = collected(source.tables(), paths, place=place)
    return f"{rows:,} rows from {kind}"


def collected(tables: Iterable[pa.Table], paths: Layout, *, place: str) -> int:
    """Write tables of one schema as the collected rows; return how many there are.

    Raises SourceError where there are none, or two columns have one name.
    """
    return write_tables(paths.raw, _some(tables, place=place))


def _some(tables: Iterable[pa.Table], *, place: str) -> Iterator[pa.Table]:
    """Pass tables on and show how far they are; raises SourceError at the end if all were empty."""
    rows = 0
    with tqdm(unit=" rows", unit_scale=True, disable=None) as bar:
        for table in tables:
            yield _named(table, place=place)
            rows += table.num_rows
            bar.update(table.num_rows)
    if rows == 0:
        raise SourceError(f"{place}: it has no rows")


def _named(table: pa.Table, *, place: str) -> pa.Table:
    """Return a table with composed names (NFC), in which two that look alike are one.

    Raises SourceError where two columns have one name.
    """
    names = [composed(name) for name in table.column_names]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise SourceError(f"{place}: it has the column {twice[0]!r} twice; remove or rename one")
    return table.rename_columns(names)
