"""Where rows come from: a declared source → tables, one after another."""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

SOURCES = {
    "file": "treeline.sources.files:FileTables",
    "library": "treeline.sources.library:LibraryTables",
    "predictions": "treeline.sources.predictions:PredictionTables",
    "python": "treeline.sources.functions:FunctionTables",
    "simulate": "treeline.sources.simulators:SimulatedTables",
    "spark": "treeline.sources.spark:SparkTables",
    "sql": "treeline.sources.sql.tables:SqlTables",
    "url": "treeline.sources.files:UrlTables",
}


# The extra that brings what a kind of source needs, where it does not bear the kind's name.
EXTRAS = {"predictions": "sql"}


class Source(Protocol):
    """A kind of source, built from its spec (`treeline.config.sources`).

    Where the spec is `incremental`, it is also given `earlier`: the path of the rows that were
    collected before, which need not be there.
    """

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows as tables of one schema, in an order that does not change.

        Raises SourceError when they cannot be had.
        """
