"""What differs between databases: how they quote, what a session sets, how rows are told apart."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WHOLE = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Dialect:
    """The SQL of one kind of database.

    `text` is the type that any value can be cast to; `session` runs on each new connection;
    `row_hash` makes of quoted columns an expression that differs, but for chance, where rows do.
    """

    name: str
    mark: str
    text: str
    session: tuple[str, ...]
    row_hash: Callable[[Sequence[str]], str]

    def quoted(self, name: str) -> str:
        """Return the name of a column or table as the database reads it."""
        return f"{self.mark}{name.replace(self.mark, self.mark * 2)}{self.mark}"

    def literal(self, value: str) -> str:
        """Return a value as it stands in SQL: a whole number bare, anything else in quotes."""
        if WHOLE.fullmatch(value):
            return value
        return self.text_literal(value)

    def text_literal(self, value: str) -> str:
        """Return a text as it stands in SQL."""
        if self.name == "mysql":
            value = value.replace("\\", "\\\\")
        return "'" + value.replace("'", "''") + "'"


def _postgresql_hash(columns: Sequence[str]) -> str:
    return f"hashtextextended(CAST(ROW({', '.join(columns)}) AS text), 0)"


def _mysql_hash(columns: Sequence[str]) -> str:
    # CONCAT_WS leaves NULL out, so each value stands beside whether it is one
    parts = (f"ISNULL({column}), IFNULL({column}, '')" for column in columns)
    return f"CRC32(CONCAT_WS('|', {', '.join(parts)}))"


def _sqlite_hash(columns: Sequence[str]) -> str:
    return f"treeline_hash({', '.join(columns)})"


DIALECTS = {
    "postgresql": Dialect(
        "postgresql",
        mark='"',
        text="text",
        session=(
            "SET TIME ZONE 'UTC'",
            "SET DateStyle = 'ISO'",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        ),
        row_hash=_postgresql_hash,
    ),
    "mysql": Dialect(
        "mysql",
        mark="`",
        text="char",
        session=("SET time_zone = '+00:00'", "SET SESSION TRANSACTION READ ONLY"),
        row_hash=_mysql_hash,
    ),
    "sqlite": Dialect("sqlite", mark='"', text="text", session=(), row_hash=_sqlite_hash),
}


def dialect_of(backend: str) -> Dialect:
    """Return the dialect of `postgresql`, `mysql` (MariaDB too) or `sqlite`."""
    return DIALECTS[backend]
