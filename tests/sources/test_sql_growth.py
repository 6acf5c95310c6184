"""A table that grows is collected by what is new in it, as if it had been collected whole."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.databases import Filled, opened
from treeline.config.sources import SqlSource
from treeline.errors import SourceError
from treeline.sources.sql import growth
from treeline.sources.sql.tables import SqlTables
from treeline.tables import read_frame, write_tables

pytest.importorskip("connectorx", reason="needs connectorx: make setup-dev")

NEXT = "INSERT INTO trees (seen, species) VALUES ('2018-05-{:02} 06:07:08', 'Acer')"
KEYS = {
    "postgresql": "serial PRIMARY KEY",
    "mysql": "integer PRIMARY KEY AUTO_INCREMENT",
    "sqlite": "integer PRIMARY KEY",
}


@pytest.fixture(scope="module", params=KEYS)
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Filled]:
    with opened(request.param, tmp_path_factory.mktemp("database")) as made:
        yield made


@pytest.fixture
def database(server: Filled) -> Filled:
    server.run(
        "DROP TABLE IF EXISTS trees",
        f"CREATE TABLE trees (id {KEYS[server.kind]}, seen timestamp NULL, species varchar(9))",
        *(NEXT.format(1 + day // 2) for day in range(8)),
    )
    return server


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "TABLE_ROWS", 3)


def collected(database: Filled, path: Path, **declared: Any) -> int:
    """Collect what is new into a file, and hold it to a full collection, byte by byte."""
    spec = SqlSource(kind="sql", url=database.url, **{"table": "trees"} | declared)
    rows = write_tables(path, SqlTables(spec, earlier=path, first_pause_seconds=0).tables())
    whole = path.with_name("whole.parquet")
    assert write_tables(whole, SqlTables(spec, earlier=whole.with_name("none")).tables()) == rows
    assert path.read_bytes() == whole.read_bytes()
    whole.unlink()
    return rows


@pytest.mark.parametrize("watermark", ["id", "seen"])
def test_what_is_new_is_added_and_the_file_is_that_of_a_full_collection(
    database: Filled, tmp_path: Path, watermark: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "raw.parquet"
    assert collected(database, path, watermark=watermark) == 8
    before = path.read_bytes()
    assert collected(database, path, watermark=watermark) == 8
    assert path.read_bytes() == before
    database.run(*(NEXT.format(day) for day in (6, 7, 7, 8)))
    assert collected(database, path, watermark=watermark) == 12
    assert "collected anew" not in capfd.readouterr().out


def test_only_what_is_new_is_asked_for(database: Filled, tmp_path: Path) -> None:
    """Rows of a file that the database never had are kept: they were not asked for again."""
    path = tmp_path / "raw.parquet"
    collected(database, path, watermark="id")
    spec = SqlSource(kind="sql", url=database.url, table="trees", watermark="id")
    marked = [
        table.set_column(2, "species", [["Quercus"] * table.num_rows])
        for table in SqlTables(spec, earlier=path).tables()
    ]
    write_tables(path, marked)
    database.run(NEXT.format(9))
    write_tables(path, SqlTables(spec, earlier=path).tables())
    assert read_frame(path)["species"].tolist() == ["Quercus"] * 8 + ["Acer"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trees SET species = 'Quercus' WHERE id = 3",
        "UPDATE trees SET species = NULL WHERE id = 3",
        "DELETE FROM trees WHERE id = 3",
        NEXT.format(1),  # it came late: its time is not new
    ],
    ids=["changed", "emptied", "removed", "late"],
)
def test_a_history_that_changed_is_collected_anew(
    database: Filled, tmp_path: Path, change: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "raw.parquet"
    collected(database, path, watermark="seen")
    database.run(change, NEXT.format(9))
    collected(database, path, watermark="seen")
    assert "the 8 rows up to seen 2018-05-04 06:07:08" in capfd.readouterr().out


def test_another_declaration_is_collected_anew(database: Filled, tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    collected(database, path, watermark="id")
    later = {"table": None, "query": "SELECT id, species FROM trees WHERE id > 2"}
    assert collected(database, path, watermark="id", **later) == 6
    assert read_frame(path).columns.tolist() == ["id", "species"]


def test_a_row_without_a_watermark_is_told(database: Filled, tmp_path: Path) -> None:
    database.run("INSERT INTO trees (species) VALUES ('Acer')")
    with pytest.raises(SourceError, match=r"watermark: 1 rows have no 'seen'"):
        collected(database, tmp_path / "raw.parquet", watermark="seen")


def test_rows_that_change_while_they_are_read_are_not_taken(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as made, pytest.raises(SourceError) as error:
        made.run("CREATE TABLE trees (id integer)", "INSERT INTO trees VALUES (1)")
        query = "SELECT id, random() AS chance FROM trees"
        collected(made, tmp_path / "raw.parquet", table=None, query=query, watermark="id")
    assert "the rows changed while they were collected (3 attempts)" in str(error.value)


KILLER = """DO $$ BEGIN
FOR i IN 1..500 LOOP
    PERFORM pg_sleep(0.01);
    PERFORM pg_stat_clear_snapshot();
    IF (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active') > 0
    THEN RETURN; END IF;
END LOOP; END $$"""


def test_a_connection_that_is_lost_among_the_rows_is_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with opened("postgresql", tmp_path) as made:
        query = "SELECT g AS id, pg_sleep(0.001)::text AS slow FROM generate_series(1, 500) AS g"
        spec = SqlSource(kind="sql", url=made.url, query=query, order_by=["id"])
        with psycopg.connect(make_url(made.url).render_as_string()) as server:
            killing = threading.Thread(target=server.execute, args=(KILLER,))
            killing.start()
            found = list(SqlTables(spec, first_pause_seconds=0).tables())
            killing.join()
    assert sum(table.num_rows for table in found) == 500
    assert "trying again" in capfd.readouterr().out
