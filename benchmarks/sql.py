"""Rows a second from a database to Parquet, beside the fastest driver there is.

Run with `python -m benchmarks sql`. A million simulated seedlings, 13 columns, go into PostgreSQL
and MySQL or MariaDB on this machine (SERVERS, of users without a password; one that does not answer
is left out) and into a file of SQLite. Then, in turns, the same ordered query is read by connectorx
into Arrow in memory, and by the source `sql`: into tables, and into a Parquet file as the collect
stage does it.
Leaves with 1 where the source reads a server at less than half the driver's rate.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import connectorx
import pyarrow as pa
from sqlalchemy import Engine, create_engine, insert, make_url, text
from sqlalchemy import table as named
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql import column
from tqdm import tqdm

from benchmarks.seedlings import PROJECT
from treeline.config.sources import SimulateSource, SqlSource
from treeline.sources.simulators import SimulatedTables
from treeline.sources.sql.tables import SqlTables
from treeline.tables import write_tables

ROWS = int(os.environ.get("BENCHMARK_ROWS", "1_000_000"))
SERVERS = {
    "postgresql": os.environ.get("BENCHMARK_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/"),
    "mysql": os.environ.get("BENCHMARK_MYSQL", "mysql://root@127.0.0.1:3306/"),
}
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
ROUNDS = 3
WANTED_RATIO = 0.5
CHUNK_ROWS = 20_000

COLUMNS = {
    "No": "bigint PRIMARY KEY", "Plot": "int", "Species": "varchar(20)",
    "Light_ISF": "double precision", "Soil": "varchar(25)", "Sterile": "varchar(15)",
    "Conspecific": "varchar(15)", "AMF": "double precision", "EMF": "double precision",
    "Phenolics": "double precision", "Lignin": "double precision", "NSC": "double precision",
    "Event": "smallint",
}  # fmt: skip


def main() -> int:
    """Print the table; return 1 where a server is read too slowly."""
    os.chdir(PROJECT)  # the simulator's figures are found from there
    ratios = {}
    print(f"{ROWS:,} rows x {len(COLUMNS)} columns; seconds, the best of {ROUNDS} rounds")
    print(f"{'':12}{'connectorx':>11}{'tables':>8}{'Parquet':>9}{'ratio':>7}{'peak MB':>9}")
    for kind in DRIVERS:
        with tempfile.TemporaryDirectory() as folder:
            for url in filled(kind, Path(folder)):
                ratios[kind] = measured(kind, url, Path(folder))
    slow = [kind for kind in SERVERS if ratios.get(kind, 1) < WANTED_RATIO]
    return int(bool(slow))


def measured(kind: str, url: str, folder: Path) -> float:
    """Print the line of one database; return the driver's seconds over ours."""
    target = folder / "rows.parquet"
    ways: dict[str, Callable[[], int]] = {
        "connectorx": lambda: driver(kind, url),
        "tables": lambda: sum(each.num_rows for each in source(url).tables()),
        "Parquet": lambda: write_tables(target, source(url).tables()),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, read in ways.items():
            start = time.perf_counter()
            assert read() == ROWS
            best[name] = min(best[name], time.perf_counter() - start)
    with get_context("spawn").Pool(1) as pool:
        peak = pool.apply(peak_megabytes, (url,))
    ratio = best["connectorx"] / best["tables"]
    seconds = f"{best['connectorx']:11.2f}{best['tables']:8.2f}{best['Parquet']:9.2f}"
    print(f"{kind:12}{seconds}{ratio:7.2f}{peak:9.0f}", flush=True)
    return ratio


def driver(kind: str, url: str) -> int:
    """Return how many rows connectorx reads."""
    mark = "`" if kind == "mysql" else '"'
    query = f"SELECT * FROM seedlings ORDER BY {mark}No{mark}"
    found: pa.Table = connectorx.read_sql(url, query, return_type="arrow")
    return int(found.num_rows)


def source(url: str) -> SqlTables:
    return SqlTables(SqlSource(kind="sql", url=url, table="seedlings"))


def peak_megabytes(url: str) -> float:
    """Return the most memory that a process takes that writes the rows to a file, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder) / "rows.parquet", source(url).tables())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def filled(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a new database with the rows in it; nothing where no server answers."""
    if kind == "sqlite":
        url = f"sqlite:///{folder}/rows.sqlite"
        fill(create_engine(url))
        yield url
        return
    name = f"treeline_{uuid4().hex[:12]}"
    given = make_url(SERVERS[kind]).set(drivername=DRIVERS[kind])
    server = create_engine(given, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        print(f"{kind:12} does not answer at {given.render_as_string()}", file=sys.stderr)
        return
    with dropped(server, name):
        here = given.set(database=name)
        engine = create_engine(here)
        fill(engine)
        engine.dispose()
        yield here.set(drivername=kind).render_as_string()


@contextmanager
def dropped(server: Engine, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))
        server.dispose()


def fill(engine: Engine) -> None:
    """Create the table and add the rows, chunk by chunk."""
    quoted = engine.dialect.identifier_preparer.quote_identifier
    declared = ", ".join(f"{quoted(name)} {kind}" for name, kind in COLUMNS.items())
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE seedlings ({declared})"))
    adding = insert(named("seedlings", *map(column, COLUMNS)))
    with tqdm(total=ROWS, unit=" rows", unit_scale=True, disable=None) as bar:
        for batch in seedlings():
            with engine.begin() as connection:
                connection.execute(adding, batch.to_pylist())
            bar.update(batch.num_rows)


def seedlings() -> Iterator[pa.RecordBatch]:
    spec = SimulateSource(kind="simulate", simulator="tree_experiment", rows=ROWS, seed=1)
    for table in SimulatedTables(spec).tables():
        yield from table.select(list(COLUMNS)).to_batches(CHUNK_ROWS)
