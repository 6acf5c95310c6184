"""A log that can never be written stops the start; one that is away now does not."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from api.app import create_app
from api.prediction_log.addresses import check_database, check_url
from api.settings import Settings
from tests.processes import children
from tests.recorded import SERVER, postgresql
from tests.serving import ROOT, serving
from tests.waiting import wait_until
from treeline.errors import ConfigError

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("predictions.sqlite", "it is no URL; give postgresql://"),
        (f"postgresql+psycopg2://u:{PASSWORD}@db/log", "write postgresql:// in the place of"),
        (f"postgres+asyncpg://u:{PASSWORD}@db/log", "the driver 'asyncpg' is not used here"),
        (f"mysql://u:{PASSWORD}@db/log", "'mysql' is not supported; give postgresql://"),
        (f"postgresql://u:{PASSWORD}@db", "it names no database"),
        (f"postgresql://u:{PASSWORD}@db/", "it names no database"),
        (f"postgresql://u:{PASSWORD}@db:port/log", "its host or port cannot be read"),
        (f"postgresql://u:{PASSWORD}@[db/log", "its host or port cannot be read"),
    ],
)
def test_a_url_of_no_log_stops_the_start_and_says_the_way_out(
    models: Path, tmp_path: Path, url: str, reason: str
) -> None:
    settings = Settings.model_validate(
        {"model_dir": models, "state_dir": tmp_path, "prediction_log_url": url}
    )
    with pytest.raises(ConfigError, match="API_PREDICTION_LOG_URL") as raised:
        create_app(settings)
    assert reason in str(raised.value) and PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://u:p@db:5432/log?sslmode=require", "postgresql"),
        ("postgres://db/log", "postgresql"),
        ("postgresql+psycopg://db/log", "postgresql"),
        ("sqlite:////folder/file.sqlite", "sqlite"),
    ],
)
def test_a_url_of_a_log_is_taken(url: str, kind: str) -> None:
    assert check_url(url) == kind


def checked(**settings: object) -> None:
    check_database(Settings.model_validate(settings))


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["CREATE TABLE predictions (a TEXT)"], "tables of its own named predictions"),
        (["CREATE TABLE feedback (a TEXT)"], "tables of its own named feedback"),
        (
            [
                "CREATE TABLE prediction_log_schema (version INTEGER)",
                "INSERT INTO prediction_log_schema VALUES (7)",
            ],
            "of version 7, and this release knows 2",
        ),
    ],
)
def test_tables_of_somebody_else_stop_the_start(
    tmp_path: Path, statements: list[str], reason: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "predictions.sqlite")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    with pytest.raises(ConfigError, match=reason):
        checked(state_dir=tmp_path)
    with postgresql() as name:
        with psycopg.connect(f"{SERVER}/{name}", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
        with pytest.raises(ConfigError, match=reason):
            checked(state_dir=tmp_path, prediction_log_url=f"{SERVER}/{name}")


def test_an_empty_database_and_one_that_is_away_do_not(tmp_path: Path) -> None:
    checked(state_dir=tmp_path)
    checked(state_dir=tmp_path, prediction_log_url=f"sqlite:///{tmp_path}/none.sqlite")
    checked(state_dir=tmp_path, prediction_log_url="postgresql://nobody@127.0.0.1:1/nowhere")
    with postgresql() as name:
        checked(state_dir=tmp_path, prediction_log_url=f"{SERVER}/{name}")


def test_a_server_that_is_there_and_refuses_stops_the_start(tmp_path: Path) -> None:
    with postgresql():
        pass
    with pytest.raises(ConfigError, match="the server is there and refuses"):
        checked(state_dir=tmp_path, prediction_log_url=f"{SERVER}/treeline_nowhere")


def test_a_file_that_is_no_database_stops_the_start(models: Path, tmp_path: Path) -> None:
    (tmp_path / "predictions.sqlite").write_bytes(b"not a database at all, and long enough" * 30)
    started = subprocess.run(
        [sys.executable, "-c", "import api.main"],
        env={**os.environ, "API_STATE_DIR": str(tmp_path), "API_MODEL_DIR": str(models)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert "predictions.sqlite is no database of SQLite; move it away" in started.stderr


def test_workers_end_when_their_master_is_killed(models: Path, tmp_path: Path) -> None:
    with serving(models, tmp_path / "log", WEB_CONCURRENCY="2") as service:
        master = service.process.pid  # which starts one worker after the other
        wait_until(lambda: len(children(master)) == 2, seconds=30, what="both workers run")
        workers = children(master)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
            seconds=30,
            what="both workers have ended",
        )
        socket.create_server(("127.0.0.1", service.port)).close()
