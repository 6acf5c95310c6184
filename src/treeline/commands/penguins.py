"""Simulated penguins → a table in PostgreSQL, MySQL, MariaDB or SQLite, or the SQL that makes it.

The URL holds no password: that is read from TREELINE_SQL_PASSWORD.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from treeline.config.layout import SOURCES
from treeline.config.sources import SqlSource
from treeline.errors import SourceError
from treeline.registry import resolve
from treeline.sources.simulators.penguins import Penguins

ROWS, SEED = 344, 2007  # as many birds as were published; the year they were first measured
FILE = SOURCES / "sql" / "penguins.sqlite"  # where the table goes without a URL
FIGURES = SOURCES / "simulate" / "penguins.json"
DATABASE = {"sql": "treeline.sources.sql.database:Database"}

CREATE = """\
CREATE TABLE penguins (
  id integer PRIMARY KEY,
  species varchar(9) NOT NULL,
  island varchar(9) NOT NULL,
  bill_length_mm double precision,
  bill_depth_mm double precision,
  flipper_length_mm integer,
  body_mass_g integer,
  sex varchar(6)
)"""


def statements() -> Iterator[str]:
    """Yield the SQL that makes the table anew; the same at every run."""
    yield "DROP TABLE IF EXISTS penguins"
    yield CREATE
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    [birds] = Penguins(figures).simulate(ROWS, seed=SEED)
    rows = [
        f"({number}, {', '.join(map(_literal, bird.values()))})"
        for number, bird in enumerate(birds.to_pylist(), start=1)
    ]
    yield "INSERT INTO penguins VALUES\n" + ",\n".join(rows)


def script() -> str:
    """Return the statements as a file that any of these databases reads."""
    head = "-- Simulated penguins; made by: treeline penguins --sql"
    return "\n".join([head, *(f"{each};" for each in statements())])


def write(url: str | None = None) -> str:
    """Make the table in a database; return its URL. Raises SourceError, MissingExtraError."""
    if url is None:
        Path(FILE).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{FILE}"
    try:
        spec = SqlSource(kind="sql", url=url, table="penguins")
    except ValidationError as error:
        raise SourceError(f"{error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    database = resolve(DATABASE, "sql", place="penguins")
    database(url, password=spec.password, place="penguins", writes=True).run(statements())
    return url


def _literal(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, str) else f"{value}"
