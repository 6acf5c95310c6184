"""Spark source: a table, a path or a query that Spark reads → tables, in an order that is fixed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from treeline.config.sources import SparkSource
from treeline.engines.spark import FAILURES, quiet, reason, session, streamed
from treeline.engines.spark_master import is_local, master
from treeline.errors import SourceError
from treeline.sources.files import BATCH_ROWS

PLAIN = {  # Spark's names of the types that a Parquet file holds as they are
    "bigint",
    "boolean",
    "date",
    "double",
    "float",
    "int",
    "smallint",
    "string",
    "timestamp",
    "timestamp_ntz",
    "tinyint",
}


class SparkTables:
    """The rows that Spark reads, on SPARK_MASTER or on this machine."""

    def __init__(self, spec: SparkSource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows by `order_by`, then by all other columns; raises SourceError, EngineError.

        Decimals come as float64, times as UTC. Tables have the same number of rows on any cluster.
        """
        with session("treeline collect") as started, quiet():
            try:
                yield from _even(streamed(self._ordered(self._typed(self._read(started)))))
            except FAILURES as error:
                raise SourceError(f"{self._name}: Spark cannot read it: {reason(error)}") from error

    @property
    def _name(self) -> str:
        spec = self._spec
        key, value = next(
            (key, getattr(spec, key))
            for key in ("table", "path", "query")
            if getattr(spec, key) is not None
        )
        return f"source.{key} {value!r}"

    def _read(self, started: Any) -> Any:
        spec = self._spec
        if spec.table is not None:
            return started.table(spec.table)
        if spec.query is not None:
            return started.sql(spec.query)
        return (
            started.read.format(spec.format)
            .options(**spec.options)
            .load(_spark_path(str(spec.path)))
        )

    def _typed(self, rows: Any) -> Any:
        """Select every column as a type that a Parquet file of ours holds; raises SourceError."""
        chosen = []
        for name, kind in rows.dtypes:
            if kind.startswith("decimal"):
                chosen.append(f"CAST({_quoted(name)} AS DOUBLE) AS {_quoted(name)}")
            elif kind in PLAIN or kind.startswith(("char", "varchar")):
                chosen.append(_quoted(name))
            else:
                raise SourceError(
                    f"{self._name}: column {name!r} is of type {kind}, which no model can take; "
                    "declare a `query` that leaves it out or takes it apart"
                )
        return rows.selectExpr(*chosen)

    def _ordered(self, rows: Any) -> Any:
        """Sort by every column, the declared ones first: what is equal then is the same row."""
        first = self._spec.order_by
        if unknown := [name for name in first if name not in rows.columns]:
            raise SourceError(
                f"source.order_by: {unknown[0]!r} is no column of {self._name}; "
                f"there are {', '.join(rows.columns)}"
            )
        others = [name for name in rows.columns if name not in first]
        return rows.orderBy(*map(_quoted, [*first, *others]))


def _spark_path(path: str) -> str:
    """Return a path as Spark finds it: on this machine, from where we are and not where it is."""
    return path if "://" in path or not is_local(master()) else str(Path(path).absolute())


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _even(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows as tables of 500,000, whatever the sizes they come in."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table.replace_schema_metadata(None))
        rows += table.num_rows
        while rows >= BATCH_ROWS:
            whole = pa.concat_tables(held)
            yield whole[:BATCH_ROWS]
            held = [whole[BATCH_ROWS:]]
            rows -= BATCH_ROWS
    if rows:
        yield pa.concat_tables(held)
