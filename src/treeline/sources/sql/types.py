"""Types of a database → the same few types of columns, whichever database it is.

whole number of any size    int64; one that is larger is refused
boolean                     bool (in MySQL `tinyint(1)` and `bit(1)`)
decimal, real, double       float64
date                        date32
date and time               timestamp, microseconds
date and time with zone     timestamp, microseconds, UTC (in MySQL `timestamp`)
text                        string
binary                      binary
anything else               string, as the database writes it: time, interval, uuid, json, …
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from treeline.errors import SourceError
from treeline.sources.sql.database import Database

TIME = pa.timestamp("us")
ZONED = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Column:
    """One column: how it is asked for, and the type it gets; without one, by what arrives.

    `firm` says whether connectorx knows the type too, rather than guess it from the first row.
    """

    name: str
    asked: str = "{}"
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
    asked, kind = POSTGRESQL.get(number, ("CAST({} AS text)", pa.string()))
    return Column(name, asked, kind)


def _mysql(name: str, number: Any, _shown: Any, length: Any) -> Column:
    asked, kind = MYSQL.get(number, ("CAST({} AS char)", pa.string()))
    if number in (TINY, BIT) and length == 1:
        kind = pa.bool_()
    return Column(name, asked, kind)


def _sqlite(database: Database, query: str) -> tuple[Column, ...]:
    """Return columns by their declared types; one without, by the values it holds."""
    with database.connected() as connection:
        connection.exec_driver_sql(f"CREATE TEMP VIEW described AS {query}")
        told = connection.exec_driver_sql("PRAGMA temp.table_info(described)").all()
    declared = {row[1]: _declared(row[1], row[2].upper()) for row in told}
    loose = [name for name, column in declared.items() if column.type is None]
    if loose:
        quoted = map(database.dialect.quoted, loose)
        held = ", ".join(f"GROUP_CONCAT(DISTINCT TYPEOF({name}))" for name in quoted)
        found = zip(loose, database.row(f"SELECT {held} FROM ({query})"), strict=True)
        declared |= {name: Column(name, "{}", _held(kinds), firm=False) for name, kinds in found}
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
