"""What supervisors ask: alive, and ready."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from api.settings import Settings
from api.welcome import welcome
from tests.api.conftest import Serve
from tests.tiny_models import ARTIFACT, IRIS, SURVIVAL, write_model


def test_a_service_with_all_its_models_is_ready(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert list(answer.json()["models"]) == ["diabetes", "iris", "tree-survival"]


def test_a_service_without_models_is_alive_and_not_ready(tmp_path: Path, serve: Serve) -> None:
    client = serve(tmp_path / "nowhere")
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "dvc pull" in answer.json()["detail"]
    assert client.post("/v1/predict", json={}).status_code == 404


def test_a_service_with_a_broken_model_says_which_and_why(tmp_path: Path, serve: Serve) -> None:
    for recipe in (SURVIVAL, IRIS):
        write_model(tmp_path, recipe)
    (tmp_path / "iris" / ARTIFACT).unlink()
    answer = serve(tmp_path).get("/readyz")
    assert answer.status_code == 503
    (error,) = answer.json()["errors"]
    assert error["field"] == "iris"
    assert "missing" in error["message"]


def test_a_default_that_does_not_exist_is_told(models: Path, serve: Serve) -> None:
    answer = serve(models, default_model="oak").get("/readyz")
    assert answer.status_code == 503
    assert "API_DEFAULT_MODEL is 'oak'" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_a_load_balancer_may_ask_for_the_head_alone(client: TestClient, path: str) -> None:
    assert client.head(path).status_code == 200


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_MODEL_DIR", "elsewhere")
    monkeypatch.setenv("API_MAX_BODY_BYTES", "2048")
    settings = Settings()
    assert (settings.model_dir, settings.max_body_bytes) == (Path("elsewhere"), 2048)


def test_a_limit_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_MAX_BODY_BYTES", "0")
    with pytest.raises(ValidationError, match="max_body_bytes"):
        Settings()


def test_the_welcome_shows_a_request_to_paste(models: Path) -> None:
    text = welcome(Settings(model_dir=models), url="http://127.0.0.1:8000")
    assert "http://127.0.0.1:8000/docs" in text
    assert "curl http://127.0.0.1:8000/v1/predict -H 'Content-Type: application/json'" in text
    assert '"Species":"Prunus serotina"' in text


def test_the_welcome_without_models_says_how_to_get_them(tmp_path: Path) -> None:
    text = welcome(Settings(model_dir=tmp_path), url="http://127.0.0.1:8000")
    assert "dvc pull" in text and "curl" not in text
