"""A declared table or query → the SQL that asks for its rows, and for what sums them up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from treeline.config.sources import SqlSource
from treeline.errors import SourceError
from treeline.sources.sql.database import Database
from treeline.sources.sql.dialects import Dialect
from treeline.sources.sql.types import Column, columns_of

# A text, a quoted name, a comment, space or one sign: what matters to where a statement ends.
TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | \s+ | .""", re.S | re.X
)


@dataclass(frozen=True)
class Statement:
    """What is asked of a database: columns in their order, rows in the order of `order`.

    `unique` says whether the database promises that `order` tells any two rows apart.
    """

    dialect: Dialect
    origin: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    unique: bool
    watermark: str = ""

    def rows(self, *, after: str | None = None, until: str | None = None) -> str:
        """Return the query for the rows whose watermark is above `after` and at most `until`."""
        order = ", ".join(map(self.dialect.quoted, self.order))
        asked = ", ".join(self._named(column) for column in self.columns)
        return f"SELECT {asked} {self._from(after, until)} ORDER BY {order}"

    def highest(self) -> str:
        """Return the query for the highest watermark as text, and how many rows have none."""
        column = self.dialect.quoted(self.watermark)
        top = f"CAST(MAX({column}) AS {self.dialect.text})"
        return f"SELECT {top}, COUNT(*) - COUNT({column}) {self._from(None, None)}"

    def digest(self, *, after: str | None = None, until: str | None = None) -> str:
        """Return the query for the number of those rows and the sum of their hashes.

        Such sums add up: that of all rows is that of the older ones and that of the newer ones.
        """
        hashed = self.dialect.row_hash([self.dialect.quoted(each.name) for each in self.columns])
        return f"SELECT COUNT(*), COALESCE(SUM({hashed}), 0) {self._from(after, until)}"

    def _named(self, column: Column) -> str:
        quoted = self.dialect.quoted(column.name)
        asked = column.asked.format(quoted)
        return asked if asked == quoted else f"{asked} AS {quoted}"

    def _from(self, after: str | None, until: str | None) -> str:
        column = self.dialect.quoted(self.watermark)
        limits = [
            f"{column} {sign} {self.dialect.literal(value)}"
            for sign, value in ((">", after), ("<=", until))
            if value is not None
        ]
        return f"FROM {self.origin}" + (f" WHERE {' AND '.join(limits)}" if limits else "")


def stated(spec: SqlSource, database: Database) -> Statement:
    """Look at the declared table or query; return how to ask for its rows. Raises SourceError."""
    dialect, place = database.dialect, database.place
    if spec.table is not None:
        key = database.primary_key(spec.table)
        origin = ".".join(map(dialect.quoted, spec.table.split("."))) + " AS collected"
    else:
        key = []
        origin = f"({within(str(spec.query))}) AS collected"
    first = () if spec.watermark is None else (spec.watermark,)
    order = tuple(dict.fromkeys((*first, *spec.order_by, *key)))
    if not order:
        raise SourceError(
            f"{place}.table: {spec.table!r} has no primary key, so its rows have no order; "
            "give `order_by`, a list of columns that tell them apart"
        )
    columns = columns_of(database, f"SELECT * FROM {origin}")
    _check(order, columns, place=place)
    return Statement(dialect, origin, columns, order, bool(key), spec.watermark or "")


def within(query: str) -> str:
    """Return a query as it can stand in brackets: without what follows its last word."""
    tokens = TOKEN.findall(query)
    while tokens and (tokens[-1].startswith(("--", "/*", ";")) or tokens[-1].isspace()):
        tokens.pop()
    return "".join(tokens).strip()


def _check(order: Sequence[str], columns: Sequence[Column], *, place: str) -> None:
    names = [column.name for column in columns]
    for name in order:
        if name not in names:
            raise SourceError(
                f"{place}: rows are ordered by {name!r}, which is no column; there are "
                f"{', '.join(names)}: correct `order_by` or `watermark`"
            )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(
            f"{place}.query: it has the column {twice[0]!r} twice; name one otherwise"
        )
