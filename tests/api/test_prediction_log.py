"""Every prediction is recorded as it was answered, and can be exported."""

import io
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.api.conftest import Serve
from tests.recorded import HEADERS, KEY_LINE, ids_in, lines, log_of, rows_in
from tests.tiny_models import DIABETES, IRIS, SURVIVAL
from tests.waiting import wait_until

EXPORT = "/v1/predictions"
RECIPES = (SURVIVAL, IRIS, DIABETES)
MEDIA_TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}

Answers = list[dict[str, Any]]


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service with its log on, which knows one key."""
    state = tmp_path_factory.mktemp("state")
    settings = Settings(model_dir=models, state_dir=state, keys=KEY_LINE)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        yield client


@pytest.fixture(scope="module")
def answers(client: TestClient) -> Answers:
    """The answers of three models, two each, which are in the database."""
    found = [
        client.post(f"/v1/models/{recipe.name}/predict", json=recipe.example).json()
        for recipe in RECIPES * 2
    ]
    wait_until(
        lambda: len(lines(client.get(EXPORT).text)) == len(found), seconds=15, what="all are there"
    )
    return found


def test_a_prediction_is_recorded_with_its_record_and_its_answer(
    client: TestClient, answers: Answers
) -> None:
    for row, answer, recipe in zip(
        lines(client.get(EXPORT).text), answers, RECIPES * 2, strict=True
    ):
        assert row["features"] == recipe.example
        assert row["prediction"] == answer[recipe.target.name]
        for name in ("id", "model", "version"):
            assert row[name] == answer[name]
        for name in ("probability", "probabilities"):
            assert row[name] == answer.get(name)
        assert 0 < row["latency_seconds"] < 5
        assert row["truth"] is None


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_every_format_tells_the_same(client: TestClient, answers: Answers, name: str) -> None:
    by_name = client.get(EXPORT, params={"format": name})
    by_header = client.get(EXPORT, headers={"Accept": MEDIA_TYPES[name].partition(";")[0]})
    assert by_name.headers["content-type"] == by_header.headers["content-type"] == MEDIA_TYPES[name]
    readers: dict[str, Callable[[io.BytesIO], pd.DataFrame]] = {
        "jsonl": lambda body: pd.read_json(body, lines=True),
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
    }
    for answer in (by_name, by_header):
        table = readers[name](io.BytesIO(answer.content))
        assert list(table.columns) == list(lines(client.get(EXPORT).text)[0])
        assert list(table["id"]) == [each["id"] for each in answers]
        assert [str(each) for each in table["prediction"]] == [
            str(each[recipe.target.name]) for each, recipe in zip(answers, RECIPES * 2, strict=True)
        ]


def test_an_export_is_narrowed_by_model_version_and_time(
    client: TestClient, answers: Answers
) -> None:
    def ids(**asked: str) -> list[str]:
        return [row["id"] for row in lines(client.get(EXPORT, params=asked).text)]

    every = [answer["id"] for answer in answers]
    times = [row["time"] for row in lines(client.get(EXPORT).text)]
    version = answers[1]["version"]
    assert ids(model="iris") == ids(version=version) == [every[1], every[4]]
    assert ids(model="iris", version="other") == []
    assert ids(since=times[2]) == every[2:]
    assert ids(until=times[2]) == every[:2]
    assert ids(since=times[1], until=times[4], model="iris") == [every[1]]
    seconds = datetime.fromisoformat(times[3]).timestamp()
    assert ids(until=str(seconds + 1e-6)) == every[:4]
    assert ids(until=times[3].replace("Z", " 00:00")) == every[:3]  # a `+` nobody has encoded


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("since=2030-01-31T12:00:00", "since"),
        ("until=yesterday", "until"),
        ("since=nan", "since"),
        ("format=xml", "format"),
        ("modle=iris", "modle"),
    ],
)
def test_a_query_that_means_nothing_is_refused(client: TestClient, asked: str, field: str) -> None:
    answer = client.get(f"{EXPORT}?{asked}")
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_format_that_nobody_writes_is_refused(client: TestClient) -> None:
    answer = client.get(EXPORT, headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "application/x-ndjson" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_log_needs_a_key(client: TestClient, method: str) -> None:
    path = EXPORT if method == "GET" else "/v1/feedback"
    assert client.request(method, path, headers={"Authorization": "x"}).status_code == 401


def test_what_is_refused_is_not_recorded(client: TestClient, answers: Answers) -> None:
    assert client.post("/v1/predict", json={}).status_code == 422
    assert len(lines(client.get(EXPORT).text)) == len(answers)


def test_what_is_not_to_be_recorded_never_reaches_the_disk(models: Path, tmp_path: Path) -> None:
    settings = Settings(
        model_dir=models,
        state_dir=tmp_path,
        prediction_log_redact="Species, diabetes.bmi, iris.petal length (cm)",
    )
    with TestClient(create_app(settings)) as client:
        for recipe in RECIPES:
            client.post(f"/v1/models/{recipe.name}/predict", json=recipe.example)
    found = [row["features"] for row in rows_in(tmp_path / "predictions.sqlite")]
    assert '"Species":null,"Light_ISF":0.25' in found[0]
    assert '"petal length (cm)":null,"petal width (cm)":0.2' in found[1]
    assert found[2] == '{"age":0.04,"bmi":null}'
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Prunus" not in written


def test_a_folder_that_cannot_be_written_costs_the_log_and_no_answer(
    models: Path, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file where a folder should be")
    app = create_app(Settings(model_dir=models, state_dir=tmp_path))
    over_lines = b'\n{"age": 1,\n\n"bmi": 2}\n'
    with TestClient(app) as client:
        assert client.post("/v1/models/diabetes/predict", content=over_lines).status_code == 200
        assert log_of(app).waiting_records == 1
        in_the_way.unlink()
        wait_until(
            lambda: ids_in(tmp_path / "predictions.sqlite") != [],
            seconds=15,
            what="it is recorded when it can be",
        )
    (row,) = rows_in(tmp_path / "predictions.sqlite")
    assert row["features"] == '{"age":1,"bmi":2}'
    assert log_of(app).waiting_records == log_of(app).lost_total == 0


def test_a_full_spool_loses_what_comes_after_and_says_how_much(
    models: Path, tmp_path: Path
) -> None:
    settings = Settings(
        model_dir=models,
        state_dir=tmp_path,
        prediction_log_url="postgresql://nobody@127.0.0.1:1/nowhere",
        prediction_log_spool_bytes=1500,
        keys=KEY_LINE,
    )
    app = create_app(settings)
    with TestClient(app, headers=HEADERS) as client:
        for _ in range(20):
            assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
            log_of(app).feedback([], at=0)  # which writes what there is
        told = client.post("/v1/feedback", json=[{"id": "x", "truth": 1}] * 50)
        assert told.status_code == 503
        assert 10 < log_of(app).lost_total < 20
        assert 0 < log_of(app).waiting_bytes() <= 1500
        unread = client.get(EXPORT)
        assert unread.status_code == 503
        assert unread.json()["type"].endswith("log-unavailable")
        assert "nobody" not in unread.text


def test_a_service_without_a_log_says_so(models: Path, serve: Serve) -> None:
    with serve(models, keys=KEY_LINE) as client:
        for answer in (
            client.get(EXPORT, headers=HEADERS),
            client.post("/v1/feedback", headers=HEADERS, json={"id": "x", "truth": 1}),
        ):
            assert answer.status_code == 409
            assert answer.json()["type"].endswith("log-off")
