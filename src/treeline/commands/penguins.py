"""`python -m treeline.commands.penguins [--sql] [URL]`: put a table of simulated penguins there.

URL is that of PostgreSQL, MySQL, MariaDB or SQLite, without a password: that is read from
TREELINE_SQL_PASSWORD. Without a URL the table goes to dataset/sources/sql/penguins.sqlite. With
--sql nothing is written; the statements are printed, as any of these databases reads them.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from treeline.config.layout import SOURCES
from treeline.config.sources import SqlSource
from treeline.errors import SourceError, TreelineError
from treeline.registry import resolve
from treeline.sources.simulators.penguins import Penguins

ROWS, SEED = 344, 2007  # as many birds as were published; the year they were first measured
FILE = SOURCES / "sql" / "penguins.sqlite"
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


def write(url: str) -> None:
    """Make the table in a database; raises SourceError, MissingExtraError."""
    try:
        spec = SqlSource(kind="sql", url=url, table="penguins")
    except ValidationError as error:
        raise SourceError(f"{error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    database = resolve(DATABASE, "sql", place="penguins")
    database(url, password=spec.password, place="penguins", writes=True).run(statements())


def _literal(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, str) else f"{value}"


def main(arguments: list[str]) -> str:
    """Do as asked; return what there is to say."""
    parser = argparse.ArgumentParser(prog="penguins", description=__doc__)
    parser.add_argument("--sql", action="store_true", help="print the statements instead")
    parser.add_argument("url", nargs="?", default=f"sqlite:///{FILE}")
    asked = parser.parse_args(arguments)
    if asked.sql:
        head = "-- Simulated penguins; made by: python -m treeline.commands.penguins --sql"
        return "\n".join([head, *(f"{each};" for each in statements())])
    Path(FILE).parent.mkdir(parents=True, exist_ok=True)
    write(asked.url)
    return f"{ROWS} penguins are in the table `penguins` of {asked.url}"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except TreelineError as error:
        sys.exit(str(error))
