"""What supervisors ask: alive, and ready."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from api.settings import Settings
from api.welcome import welcome
from tests.api.conftest import Serve
from tests.serving import free_port
from tests.tiny_models import ARTIFACT, DIABETES, IRIS, SURVIVAL, write_model


def test_a_service_with_all_its_models_is_ready(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert list(answer.json()["models"]) == ["diabetes", "iris", "tree-survival"]


def test_a_service_without_models_is_alive_and_not_ready(tmp_path: Path, serve: Serve) -> None:
    client = serve(tmp_path / "nowhere")
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    detail = answer.json()["detail"]
    assert "make repro" in detail and "dvc pull" in detail
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


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_variable_that_is_empty_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"API_{name.upper()}", "")
    assert getattr(Settings(), name) == Settings.model_fields[name].get_default()


def test_a_limit_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_MAX_BODY_BYTES", "0")
    with pytest.raises(ValidationError, match="max_body_bytes"):
        Settings()


def test_the_welcome_shows_a_request_to_paste(models: Path) -> None:
    text = welcome(Settings(model_dir=models), url="http://127.0.0.1:8000")
    assert "http://127.0.0.1:8000/docs" in text
    assert "curl http://127.0.0.1:8000/v1/predict -H 'Content-Type: application/json'" in text
    assert '"Species":"Prunus serotina"' in text


def test_the_welcome_shows_a_model_whose_files_are_here(tmp_path: Path) -> None:
    write_model(tmp_path, replace(IRIS, default=True))
    write_model(tmp_path, DIABETES)
    (tmp_path / "iris" / ARTIFACT).unlink()
    text = welcome(Settings(model_dir=tmp_path), url="http://127.0.0.1:8000")
    assert "Not served, for their files are not here: iris" in text
    assert "curl http://127.0.0.1:8000/v1/models/diabetes/predict" in text


def test_a_model_that_is_left_out_is_neither_welcomed_nor_missed(
    tmp_path: Path, serve: Serve
) -> None:
    write_model(tmp_path, IRIS)
    write_model(tmp_path, DIABETES)
    (tmp_path / "iris" / ARTIFACT).unlink()
    text = welcome(Settings(model_dir=tmp_path, leave_out=("iris",)), url="http://127.0.0.1:8000")
    assert "iris" not in text
    client = serve(tmp_path, leave_out=("iris",))
    assert client.get("/readyz").json()["models"].keys() == {"diabetes"}
    assert "iris" not in client.get("/").text


def test_a_taken_port_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = Path(__file__).parents[2] / "initializer.sh"
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [script],
            env={**os.environ, "PORT": str(port), "PATH": tools},
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
    assert done.returncode == 98
    assert f"PORT={port}: another process listens" in done.stderr
    assert f"choose another port: PORT={port + 1}" in done.stderr
    assert "Starting gunicorn" not in done.stderr


def test_the_welcome_without_models_says_how_to_get_them(tmp_path: Path) -> None:
    text = welcome(Settings(model_dir=tmp_path), url="http://127.0.0.1:8000")
    assert "make repro" in text and "curl" not in text


@pytest.mark.parametrize(
    ("environment", "greeted"),
    [
        ({"HOST": "127.0.0.1"}, True),
        ({"HOST": "127.0.0.1", "GUNICORN_FD": "5"}, False),
        ({}, False),  # gunicorn was started with an address of its own
    ],
)
def test_a_start_greets_and_a_new_master_does_not(
    environment: dict[str, str], greeted: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import api.workers"],
        env={"PORT": str(free_port()), "API_MODEL_DIR": "nowhere"} | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert ("Treeline: http" in done.stdout) == greeted
