"""An export says what it lacks, and holds up neither the database nor the service."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.errors import LogUnavailableError
from api.prediction_log.database import Database, url_of
from api.prediction_log.exports import PredictionQuery, format_of
from api.prediction_log.log import EXPORT_THREADS, PredictionLog
from api.prediction_log.reading import LogReader
from api.prediction_log.writing import TruthEntry
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE, SERVER, log_of, postgresql

EXPORT = "/v1/predictions"


def reader(state: Path, **settings: Any) -> LogReader:
    given = {"state_dir": state, "prediction_log_export_seconds": 0.5}
    return LogReader(Settings.model_validate(given | settings))


def test_an_export_says_what_waits_and_what_was_set_aside(models: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"model_dir": models, "state_dir": tmp_path, "keys": KEY_LINE}
    )
    app = create_app(settings)
    log: PredictionLog = log_of(app)
    alive = log.spool.create()
    shipper = log.spool.shipper_lock()  # so that nobody ships
    assert shipper is not None
    (tmp_path / "refused-lines.jsonl").write_text("odd\n")
    log.spool.note(away=True)  # so that nothing is waited for
    for number in range(3):
        log.feedback([TruthEntry("", 1, id=f"id{number}")], at=float(number))
        log._writer.rotate(now=True)
    log._writer.look()
    answer = TestClient(app, headers=HEADERS).get(EXPORT)
    assert answer.status_code == 200
    assert answer.headers["X-Waiting-Segments"] == "3"
    assert int(answer.headers["X-Waiting-Bytes"]) > 100
    assert answer.headers["X-Set-Aside-Files"] == "1"
    shipper.release()
    alive.release()
    log.stop()


def test_a_lock_in_postgresql_ends_an_export_in_time(tmp_path: Path) -> None:
    with postgresql() as name:
        url = f"{SERVER}/{name}"
        made = Database(url_of(url, tmp_path))
        made.prepare()
        made.doubt()
        with psycopg.connect(url) as holding:
            holding.execute("LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE")
            reading = reader(tmp_path, prediction_log_url=url)
            with pytest.raises(LogUnavailableError, match=r"more than 0\.5 seconds"):
                list(reading.pages(PredictionQuery()))


def test_a_query_of_sqlite_that_takes_too_long_is_interrupted(tmp_path: Path) -> None:
    reading = reader(tmp_path, prediction_log_export_seconds=0.05)
    reading.check()
    with closing(sqlite3.connect(tmp_path / "predictions.sqlite")) as database:
        database.execute("ALTER TABLE predictions RENAME TO kept")
        database.execute(
            "CREATE VIEW predictions AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
            "FROM n) SELECT 'a' AS id, i * 1.0 AS time, 'm' AS model, 'v' AS version, '{}' AS "
            "features, '1' AS prediction, 1.0 AS probability, NULL AS probabilities, 0.1 AS "
            "latency_seconds FROM n"
        )
        database.commit()
    with pytest.raises(LogUnavailableError):
        list(reading.pages(PredictionQuery()))


def test_exports_that_wait_hold_up_nothing_else(models: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"model_dir": models, "state_dir": tmp_path, "keys": KEY_LINE}
    )
    with TestClient(create_app(settings), headers=HEADERS) as client:
        log: PredictionLog = log_of(client.app)
        over = threading.Event()

        def stuck() -> Iterator[bytes]:
            over.wait(60)
            yield b""

        async def start() -> None:
            for _ in range(EXPORT_THREADS + 4):
                log._exports.submit(next, stuck())

        client.portal.call(start)  # type: ignore[union-attr]
        try:
            truth = {"id": "x", "truth": 1}
            assert client.post("/v1/feedback", json=truth).status_code == 202
            assert client.get("/metrics").status_code == 200
            assert client.get("/").status_code == 200
        finally:
            over.set()


def test_an_export_has_the_format_that_its_caller_prefers() -> None:
    assert format_of(PredictionQuery(), "text/csv;q=0.1, application/x-ndjson") == "jsonl"
    assert format_of(PredictionQuery(), "application/x-ndjson;q=0, text/csv") == "csv"
