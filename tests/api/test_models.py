"""The catalogue: what is served, what is not and why."""

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import Serve
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, write_model
from treeline.contract.features import ANSWER_KEYS, Target


def test_the_list_says_what_each_model_predicts(client: TestClient) -> None:
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert list(models) == ["diabetes", "iris", "tree-survival"]
    version = models["tree-survival"].pop("version")
    assert len(version) == 12
    assert models["tree-survival"] == {
        "name": "tree-survival",
        "description": "Will this seedling die before the season ends?",
        "task": "binary",
        "target": "Event",
        "kind": "typed",
        "origin": "exported",
        "default": True,
        "ready": True,
        "reason": None,
    }


def test_a_model_shows_its_whole_contract(client: TestClient, models: Path) -> None:
    shown = client.get("/v1/models/iris")
    assert shown.headers["Content-Type"] == "application/json"
    assert shown.text == (models / "iris" / "signature.json").read_text()


def test_a_broken_model_does_not_stop_the_others(tmp_path: Path, serve: Serve) -> None:
    for recipe in (SURVIVAL, IRIS):
        write_model(tmp_path, recipe)
    (tmp_path / "iris" / ARTIFACT).write_bytes(b"changed on the way")
    client = serve(tmp_path)
    assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
    refused = client.post("/v1/models/iris/predict", json=IRIS.example)
    assert refused.status_code == 503
    assert "its SHA-256 begins" in refused.json()["detail"]
    assert "dvc pull" in refused.json()["detail"]


def test_a_broken_model_is_listed_with_its_reason(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path, IRIS)
    (tmp_path / "iris" / ARTIFACT).unlink()
    (listed,) = serve(tmp_path).get("/v1/models").json()["models"]
    assert (listed["name"], listed["target"], listed["ready"]) == ("iris", "species", False)
    assert "model.onnx: missing" in listed["reason"]


def test_a_model_whose_contract_is_unreadable_is_listed_too(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path, SURVIVAL)
    (tmp_path / "oak").mkdir()
    (tmp_path / "oak" / "signature.json").write_text('{"format": 9}')
    client = serve(tmp_path)
    listed = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert listed["oak"]["task"] is None and not listed["oak"]["ready"]
    assert client.get("/v1/models/oak").status_code == 503
    assert client.get("/v1/models/tree-survival").status_code == 200


def test_a_folder_that_is_no_model_is_passed_over(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path, DIABETES)
    (tmp_path / "notes").mkdir()
    assert len(serve(tmp_path).get("/v1/models").json()["models"]) == 1


@pytest.mark.parametrize("name", sorted(ANSWER_KEYS))
def test_a_target_named_like_a_key_of_the_answer_is_refused(
    tmp_path: Path, serve: Serve, name: str
) -> None:
    write_model(tmp_path, replace(DIABETES, target=Target(name=name, task="regression")))
    answer = serve(tmp_path).post("/v1/predict", json=DIABETES.example)
    assert answer.status_code == 503
    assert f"its target is named '{name}'" in answer.json()["detail"]


def test_a_model_that_does_not_admit_its_own_example_is_refused(
    tmp_path: Path, serve: Serve
) -> None:
    write_model(tmp_path, replace(SURVIVAL, example={**SURVIVAL.example, "Light_ISF": 40.0}))
    answer = serve(tmp_path).post("/v1/predict", json={})
    assert answer.status_code == 503
    assert "40.0 is not admitted; give a number from 0 to 1" in answer.json()["detail"]


def test_the_only_model_is_the_default(tmp_path: Path, serve: Serve) -> None:
    write_model(tmp_path, IRIS)
    answer = serve(tmp_path).post("/v1/predict", json=IRIS.example)
    assert answer.json()["model"] == "iris"


def test_a_setting_chooses_another_default(models: Path, serve: Serve) -> None:
    client = serve(models, default_model="iris")
    assert client.post("/v1/predict", json=IRIS.example).json()["model"] == "iris"
    listed = client.get("/v1/models").json()["models"]
    assert [model["name"] for model in listed if model["default"]] == ["iris"]


def test_without_a_default_the_way_out_is_told(tmp_path: Path, serve: Serve) -> None:
    for recipe in (IRIS, DIABETES):
        write_model(tmp_path, recipe)
    answer = serve(tmp_path).post("/v1/predict", json=IRIS.example)
    assert answer.status_code == 404
    assert "API_DEFAULT_MODEL" in answer.json()["detail"]
    assert "diabetes, iris" in answer.json()["detail"]


def test_models_of_an_optional_engine_name_what_is_admitted(tmp_path: Path, serve: Serve) -> None:
    signature = write_model(tmp_path, IRIS).model_copy(update={"runtime": "pickle"})
    (tmp_path / "iris" / "signature.json").write_text(signature.document())
    answer = serve(tmp_path).post("/v1/predict", json=IRIS.example)
    assert answer.status_code == 503
    assert (
        "admitted is only onnx; opening it runs code: if you trust who made it, set API_ALLOW_"
        in answer.json()["detail"]
    )
