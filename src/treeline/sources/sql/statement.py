"""A declared table or query → the SQL that asks for its rows, and types of its columns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from treeline.config.sources import SqlSource
from treeline.errors import SourceError
from treeline.sources.sql.database import Database, Dialect

TIME = pa.timestamp("us")
ZONED = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Column:
    """One column: how it is asked for, and the type it gets; without one, by what arrives.

    `firm` says whether connectorx knows the type too, rather than guess it from the first row.
    """

    name: str
    expression: str = "{}"
    type: pa.DataType | None = None
    firm: bool = True


AS_IT_IS = ("{}", None)
WITHOUT_INFINITY = ("CASE WHEN isfinite({0}) THEN {0} END", None)

# PostgreSQL: numbers of types, from its catalogue pg_type.
POSTGRESQL = {
    16: AS_IT_IS,  # boolean
    17: AS_IT_IS,  # bytea
    **dict.fromkeys((20, 21, 23), AS_IT_IS),  # bigint, smallint, integer
    **dict.fromkeys((25, 1043), AS_IT_IS),  # text, varchar
    **dict.fromkeys((700, 701), AS_IT_IS),  # real, double precision
    1700: ("CAST({} AS double precision)", None),  # numeric
    **dict.fromkeys((1082, 1114), WITHOUT_INFINITY),  # date, timestamp
    1184: ("CASE WHEN isfinite({0}) THEN {0} END", ZONED),  # timestamp with time zone
}

# MySQL and MariaDB: numbers of types, from the protocol between client and server.
MYSQL = {
    **dict.fromkeys((1, 2, 3, 8, 9, 13), AS_IT_IS),  # whole numbers, year
    **dict.fromkeys((4, 5), AS_IT_IS),  # float, double
    **dict.fromkeys((0, 246), ("CAST({} AS double)", None)),  # decimal
    7: ("{}", ZONED),  # timestamp
    **dict.fromkeys((10, 12, 14), AS_IT_IS),  # date, datetime
    16: ("CAST({} AS unsigned)", None),  # bit
    **dict.fromkeys((15, 249, 250, 251, 252, 253, 254), AS_IT_IS),  # text, binary, enum, set
}
TINY, BIT = 1, 16

# SQLite: what stands in the type that a column was declared with, the first that fits counts; the
# type it gets; whether connectorx takes it for the same.
SQLITE = (
    (("BOOL",), pa.bool_(), True),
    (("INT",), pa.int64(), True),
    (("TIMESTAMP", "DATETIME"), TIME, True),
    (("DATE",), pa.date32(), True),
    (("BLOB", "BINARY"), pa.binary(), True),
    (("CHAR", "CLOB", "TEXT"), pa.string(), True),
    (("TIME", "JSON", "UUID"), pa.string(), False),
    (("REAL", "FLOA", "DOUBLE"), pa.float64(), True),
    (("DEC", "NUM"), pa.float64(), False),
)


def columns_of(database: Database, query: str) -> tuple[Column, ...]:
    """Return the columns that a query answers, without asking for a row; raises SourceError."""
    if database.dialect.name == "sqlite":
        return _sqlite(database, query)
    with database.connected() as connection:
        described = connection.exec_driver_sql(f"{query} WHERE 1 = 0").cursor.description
    of_one = _postgresql if database.dialect.name == "postgresql" else _mysql
    return tuple(of_one(*each[:4]) for each in described)


def typed(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
    """Return a batch with the types of the table above; raises SourceError naming the column."""
    arrays, fields = [], []
    for column, array in zip(columns, batch.columns, strict=True):
        kind = column.type or _plain(array.type)
        try:
            arrays.append(array if array.type == kind else compute.cast(array, kind))
        except pa.ArrowException as error:
            raise SourceError(
                f"column {column.name!r} cannot be read as {kind}: {error}; convert it in a `query`"
            ) from error
        fields.append(pa.field(column.name, kind))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type that columns of `kind` get."""
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return ZONED if kind.tz else TIME
    if pa.types.is_large_string(kind):
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(kind) else kind


def _postgresql(name: str, number: Any, *_: Any) -> Column:
    expression, kind = POSTGRESQL.get(number, ("CAST({} AS text)", pa.string()))
    return Column(name, expression, kind)


def _mysql(name: str, number: Any, _shown: Any, length: Any) -> Column:
    expression, kind = MYSQL.get(number, ("CAST({} AS char)", pa.string()))
    if number in (TINY, BIT) and length == 1:
        kind = pa.bool_()
    return Column(name, expression, kind)


def _sqlite(database: Database, query: str) -> tuple[Column, ...]:
    """Return columns by their declared types; one without, by the values it holds."""
    with database.connected() as connection:
        connection.exec_driver_sql(f"CREATE TEMP VIEW described AS {query}")
        described = connection.exec_driver_sql("PRAGMA temp.table_info(described)").all()
    declared = {row[1]: _declared(row[1], row[2].upper()) for row in described}
    loose = [name for name, column in declared.items() if column.type is None]
    if loose:
        quoted = map(database.dialect.quoted, loose)
        held = ", ".join(f"GROUP_CONCAT(DISTINCT TYPEOF({name}))" for name in quoted)
        kinds_of = zip(loose, database.row(f"SELECT {held} FROM ({query})"), strict=True)
        declared |= {name: Column(name, "{}", _held(kinds), firm=False) for name, kinds in kinds_of}
    return tuple(declared.values())


def _declared(name: str, words: str) -> Column:
    for marks, kind, firm in SQLITE:
        if any(mark in words for mark in marks):
            return Column(name, "{}", kind, firm)
    return Column(name)


def _held(kinds: str | None) -> pa.DataType:
    held = set((kinds or "").split(",")) - {"null", ""}
    if held and held <= {"integer", "real"}:
        return pa.int64() if held == {"integer"} else pa.float64()
    return pa.binary() if held == {"blob"} else pa.string()


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
        expression = ", ".join(self._named(column) for column in self.columns)
        return f"SELECT {expression} {self._from(after, until)} ORDER BY {order}"

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
        expression = column.expression.format(quoted)
        return expression if expression == quoted else f"{expression} AS {quoted}"

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
