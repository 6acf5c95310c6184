"""The Open Inference Protocol: its rows are recorded; models are loaded and unloaded by it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.api.conftest import Serve
from tests.api.test_protocol import asked, path, question
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, write_model
from tests.waiting import wait_until

Json = dict[str, Any]


@pytest.fixture(scope="module")
def logged(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that records, and knows one key."""
    state = tmp_path_factory.mktemp("state")
    service = create_app(Settings(model_dir=models, state_dir=state, keys=KEY_LINE))
    with TestClient(service, headers=HEADERS) as client:
        yield client


def recorded(client: TestClient, model: str) -> list[Json]:
    return lines(client.get("/v1/predictions", params={"model": model}).text)


def test_each_row_is_recorded_under_the_id_that_is_answered(logged: TestClient) -> None:
    few = asked(logged, IRIS, [IRIS.example] * 3)
    many = asked(logged, DIABETES, [DIABETES.example] * 1500)
    wait_until(lambda: len(recorded(logged, "iris")) == 3, seconds=15, what="the few are recorded")
    rows = recorded(logged, "iris")
    assert {row["id"] for row in rows} == set(few["id"].tolist())
    assert rows[0]["features"] == IRIS.example and rows[0]["prediction"] == "setosa"
    wait_until(
        lambda: {row["id"] for row in recorded(logged, "diabetes")} == set(many["id"].tolist()),
        seconds=15,
        what="the many are recorded",
    )


def test_rows_are_counted(logged: TestClient) -> None:
    asked(logged, SURVIVAL, [SURVIVAL.example] * 5)
    logged.post(path(SURVIVAL), json=question(SURVIVAL, [dict(SURVIVAL.example, Light_ISF=2)]))
    told = [line for line in logged.get("/metrics").text.splitlines() if "tree-survival" in line]
    answered = [line for line in told if line.startswith("treeline_predictions_total")]
    assert sum(float(line.split()[-1]) for line in answered) == 5
    assert any("refused_fields" in line and '"Light_ISF"' in line for line in told)


def test_an_unloaded_model_is_unloaded_after_a_restart_too(models: Path, tmp_path: Path) -> None:
    settings = Settings(model_dir=models, state_dir=tmp_path, keys=KEY_LINE, prediction_log=False)
    first = TestClient(create_app(settings), headers=HEADERS)
    assert first.post("/v2/repository/models/tree-survival/unload").status_code == 200
    second = TestClient(create_app(settings), headers=HEADERS)
    assert second.post("/v1/predict", json=SURVIVAL.example).status_code == 503
    listed = second.post("/v2/repository/index", json={"ready": True}).json()
    assert [each["name"] for each in listed] == ["diabetes", "iris"]
    loaded = second.post("/v2/repository/models/tree-survival/load").json()
    assert (loaded["state"], loaded["reason"]) == ("READY", "")
    assert second.post("/v1/predict", json=SURVIVAL.example).status_code == 200


def test_what_cannot_be_loaded_says_why(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path / "model", IRIS)
    (tmp_path / "model" / "iris" / ARTIFACT).write_bytes(b"half")
    client = serve(tmp_path / "model", state_dir=tmp_path / "state", keys=KEY_LINE)
    answer = client.post("/v2/repository/models/iris/load", headers=HEADERS)
    assert answer.status_code == 503
    assert "its SHA-256 begins" in answer.json()["error"]
    (listed,) = client.post("/v2/repository/index").json()
    assert listed["state"] == "UNAVAILABLE" and "its SHA-256 begins" in listed["reason"]
