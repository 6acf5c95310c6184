"""A log that an older release made is upgraded where it is, and nothing that is in it is lost."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, inspect
from starlette.testclient import TestClient

from api.app import create_app
from api.prediction_log.addresses import SCHEMA_VERSION, check_database
from api.prediction_log.database import STEPS, Database, url_of
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE, SERVER, lines, postgresql
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

FILE = "predictions.sqlite"
# As release 0.1 of before made them: version 1.
FIRST = """
CREATE TABLE feedback (
    id TEXT NOT NULL, time {double} NOT NULL, truth {json} NOT NULL, PRIMARY KEY (id));
CREATE TABLE prediction_log_schema (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE predictions (
    id TEXT NOT NULL, time {double} NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    features {json} NOT NULL, prediction {json} NOT NULL, probability {double},
    probabilities {json}, latency_seconds {double} NOT NULL, PRIMARY KEY (id));
CREATE INDEX predictions_model_time ON predictions (model, time, id);
CREATE INDEX predictions_time ON predictions (time, id);
INSERT INTO prediction_log_schema VALUES (1);
INSERT INTO feedback VALUES ('old-1', 5.5, '1');
"""
INSERT = """
INSERT INTO predictions
    (id, time, model, version, features, prediction, probability, latency_seconds)
    VALUES ('{}', {}, 'tree-survival', 'v', '{{"EMF": 1.0}}', '1.0', 0.75, 0.001);
"""
TYPES = {
    "SQLite": {"double": "DOUBLE", "json": "TEXT"},
    "PostgreSQL": {"double": "DOUBLE PRECISION", "json": "JSON"},
}


@pytest.fixture(params=TYPES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str | None, Path]]:
    """A log of version 1 with two predictions and a truth: its URL, and the state folder."""
    script = FIRST.format(**TYPES[request.param]) + INSERT.format("old-1", 1.0)
    script += INSERT.format("old-2", 2.0)
    if request.param == "SQLite":
        with closing(sqlite3.connect(tmp_path / FILE)) as connection:
            connection.executescript(script)
        yield None, tmp_path
        return
    with postgresql() as name:
        with psycopg.connect(f"{SERVER}/{name}", autocommit=True) as server:
            server.execute(script)
        yield f"{SERVER}/{name}", tmp_path


def upgraded(url: str | None, folder: Path) -> Database:
    database = Database(url_of(url, folder))
    database.prepare()
    return database


def run(database: Database, statement: str) -> list[Any]:
    with database.engine.begin() as connection:
        found = connection.exec_driver_sql(statement)
        return [tuple(row) for row in found] if found.returns_rows else []


def shape(database: Database) -> dict[str, Any]:
    """Return the columns, keys and indexes of every table."""
    seen = inspect(database.engine)
    return {
        name: {
            "columns": [(each["name"], str(each["type"]), each["nullable"])
                        for each in seen.get_columns(name)],
            "key": seen.get_pk_constraint(name)["constrained_columns"],
            "indexes": sorted((str(each["name"]), tuple(each["column_names"]))
                              for each in seen.get_indexes(name)),
        }
        for name in sorted(seen.get_table_names())
    }  # fmt: skip


def test_there_is_a_way_from_every_version() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_the_tables_become_those_of_a_new_log_and_the_rows_stay(
    old: tuple[str | None, Path], tmp_path: Path
) -> None:
    url, folder = old
    check_database(Settings.model_validate({"state_dir": folder, "prediction_log_url": url}))
    database = upgraded(url, folder)
    assert run(database, "SELECT version FROM prediction_log_schema") == [(SCHEMA_VERSION,)]
    assert run(database, "SELECT id, time, key FROM predictions ORDER BY id") == [
        ("old-1", 1.0, None), ("old-2", 2.0, None),
    ]  # fmt: skip
    assert run(database, "SELECT id, time FROM feedback") == [("old-1", 5.5)]
    if url is None:
        (tmp_path / "new").mkdir()
        assert shape(database) == shape(upgraded(None, tmp_path / "new"))
    else:
        with postgresql() as name:
            new = upgraded(f"{SERVER}/{name}", folder)
            assert shape(database) == shape(new)
            new.doubt()
    upgraded(url, folder).doubt()  # again does no harm
    run(database, INSERT.format("of-a-replica-that-is-old-still", 3.0).strip().rstrip(";"))
    assert len(run(database, "SELECT id FROM predictions")) == 3
    database.doubt()


def test_several_that_start_at_once_upgrade_it_once(old: tuple[str | None, Path]) -> None:
    with ThreadPoolExecutor(8) as pool:
        for database in list(pool.map(lambda _: upgraded(*old), range(8))):
            database.doubt()
    database = upgraded(*old)
    assert len(run(database, "SELECT id FROM predictions")) == 2
    database.doubt()


def test_a_service_over_an_older_log_goes_on_in_it(
    old: tuple[str | None, Path], models: Path
) -> None:
    url, folder = old
    given = {"model_dir": models, "state_dir": folder, "prediction_log_url": url, "keys": KEY_LINE}
    settings = Settings.model_validate(given | {"prediction_log_retention_days": 0})
    with TestClient(create_app(settings), headers=HEADERS) as client:
        new = client.post("/v1/predict", json=SURVIVAL.example).json()["id"]
        client.post("/v1/feedback", json={"id": "old-2", "truth": 0})
        client.post("/v1/feedback", json={"id": new, "truth": 1})
        expected = {"old-1": 1, "old-2": 0, new: 1}

        def told() -> dict[str, Any]:
            rows = lines(client.get("/v1/predictions").text)
            return {row["id"]: row["truth"] for row in rows}

        wait_until(lambda: told() == expected, seconds=20, what="old and new are exported")


def test_an_upgrade_that_fails_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(FIRST.format(**TYPES["SQLite"]))
        connection.execute("CREATE TABLE feedback_by_key (a TEXT)")
        connection.commit()
    engine = create_engine(f"sqlite:///{tmp_path / FILE}")
    before = [each["name"] for each in inspect(engine).get_columns("predictions")]
    with pytest.raises(Exception, match="feedback_by_key already exists"):
        upgraded(None, tmp_path)
    assert [each["name"] for each in inspect(engine).get_columns("predictions")] == before
    engine.dispose()
