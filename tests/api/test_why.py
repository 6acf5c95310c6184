"""Who holds an answer is told what is behind it, and what the service does not know."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE
from tests.tiny_models import IRIS, SURVIVAL, write_model
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def client(models: Path, state: Path) -> Iterator[TestClient]:
    settings = Settings(model_dir=models, state_dir=state, keys=KEY_LINE)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        yield client


def predict(client: TestClient) -> str:
    """Return the id of a new prediction that is in the log."""
    answered: str = client.post("/v1/predict", json=SURVIVAL.example).json()["id"]
    wait_until(
        lambda: answered in client.get(f"/v1/predictions?id={answered}").text,
        seconds=30,
        what="it is in the log",
    )
    return answered


def test_an_answer_leads_to_its_record_and_to_what_its_model_was_made_from(
    client: TestClient,
) -> None:
    name = predict(client)
    client.post("/v1/feedback", json={"id": name, "truth": 1})
    answer = client.get(f"/v1/predictions/{name}/why")
    assert answer.status_code == 200
    document = answer.json()
    prediction = document["prediction"]
    assert prediction["id"] == name
    assert prediction["features"] == SURVIVAL.example
    signature = client.get(f"/v1/models/{prediction['model']}").json()
    assert prediction["version"] == signature["version"]
    assert document["model"] == {
        "origin": "exported",
        "claimed": False,
        **{key: signature[key] for key in ("metrics", "verdict", "learnt", "lineage")},
    }
    assert document["missing"] == []


def test_a_version_that_is_served_no_more_is_named_with_the_way_out(
    client: TestClient, state: Path, tmp_path: Path
) -> None:
    name = predict(client)
    write_model(tmp_path, IRIS)
    settings = Settings(model_dir=tmp_path, state_dir=state, keys=KEY_LINE)
    with TestClient(create_app(settings), headers=HEADERS) as later:
        document = later.get(f"/v1/predictions/{name}/why").json()
    assert document["prediction"]["id"] == name
    assert document["model"] is None
    assert "treeline why" in document["missing"][0]


@pytest.mark.parametrize("unknown", ["nobody", "nobody/3", "a%20b"])
def test_an_unknown_prediction_is_not_found(client: TestClient, unknown: str) -> None:
    answer = client.get(f"/v1/predictions/{unknown}/why")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("prediction-not-found")


def test_only_who_may_read_the_log_is_answered(client: TestClient) -> None:
    answer = client.get("/v1/predictions/nobody/why", headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401


def test_an_export_can_be_of_one_prediction(client: TestClient) -> None:
    first, second = predict(client), predict(client)
    text = client.get(f"/v1/predictions?id={second}").text
    assert second in text
    assert first not in text
