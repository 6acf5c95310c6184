"""Where rows come from: a declared source → tables, one after another."""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

SOURCES = {
    "file": "treeline.sources.file:FileTables",
    "library": "treeline.sources.library:LibraryTables",
    "simulate": "treeline.sources.simulate:SimulatedTables",
    "url": "treeline.sources.url:UrlTables",
}


class Source(Protocol):
    """A kind of source, built from its spec (`treeline.config.sources`)."""

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows as tables of one schema, in an order that does not change.

        Raises SourceError when they cannot be had.
        """
