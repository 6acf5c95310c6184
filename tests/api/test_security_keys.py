"""API keys: who has one may change and export; they come and go without a restart."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.http import keyring
from api.http.keyring import new_key
from api.routes.deps import KeyRequired
from api.settings import Settings
from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until
from treeline.errors import ConfigError

KEY, LINE = new_key("trainer")
SECOND, SECOND_LINE = new_key("auditor")
PREDICTED: dict[str, Any] = {"json": SURVIVAL.example}


def upload_manager(app: FastAPI) -> TestClient:
    """Return a client of an application that has a route which changes something."""

    @app.put("/changed", dependencies=[KeyRequired])
    async def changed() -> None:
        """Change something."""

    return TestClient(app)


def client_of(models: Path, **settings: object) -> TestClient:
    return upload_manager(create_app(Settings.model_validate({"model_dir": models, **settings})))


def accepted(client: TestClient, key: str) -> bool:
    return client.put("/changed", headers={"X-API-Key": key}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"X-API-Key": KEY},
        {"Authorization": "Basic dHJlZTpsaW5l", "X-API-Key": KEY},
    ],
)
def test_a_known_key_opens_either_way(models: Path, headers: dict[str, str]) -> None:
    assert client_of(models, keys=LINE).put("/changed", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": SECOND},
        {"X-API-Key": LINE.rpartition(":")[2]},
        {"Authorization": KEY},
    ],
    ids=["none", "empty", "unknown", "its hash", "no scheme"],
)
def test_anything_else_does_not(models: Path, headers: dict[str, str]) -> None:
    answer = client_of(models, keys=LINE).put("/changed", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:treeline:problem:key-required"


def test_the_log_says_whose_key_changed_something_and_not_the_key(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert accepted(client_of(models, keys=LINE), KEY)
    assert "PUT /changed with the key trainer" in caplog.text and KEY not in caplog.text


def test_without_any_key_nothing_can_be_changed_and_the_answer_says_how_to_make_one(
    models: Path,
) -> None:
    answer = client_of(models).put("/changed", headers={"X-API-Key": KEY})
    assert answer.status_code == 403
    assert "python -m api.keys NAME" in answer.json()["detail"]


def test_predictions_need_no_key_unless_they_are_closed(models: Path, serve: Serve) -> None:
    assert serve(models, keys=LINE).post("/v1/predict", **PREDICTED).status_code == 200
    closed = serve(models, keys=LINE, predictions_open=False)
    assert closed.post("/v1/predict", **PREDICTED).status_code == 401
    assert closed.post("/v1/models/iris/predict", json={}).status_code == 401
    keyed = closed.post("/v1/predict", **PREDICTED, headers={"X-API-Key": KEY})
    assert keyed.status_code == 200
    assert closed.get("/v1/models").status_code == 200


def test_what_needs_a_key_says_so_in_the_openapi_document(models: Path) -> None:
    document = client_of(models, keys=LINE, predictions_open=False).get("/openapi.json").json()
    paths = document["paths"]
    for operation in (paths["/changed"]["put"], paths["/v1/predict"]["post"]):
        scopes = operation["security"][0]["bearer"]
        assert operation["security"] == [{"bearer": scopes}, {"header": scopes}]
        assert {"401", "403", "429"} <= operation["responses"].keys()
    assert "security" not in paths["/v1/models"]["get"]


def test_a_key_is_known_and_forgotten_as_the_file_says(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "LOOK_SECONDS", 0.01)
    file = tmp_path / "keys"
    file.write_text(f"# who may change models\n\n{LINE}\n")
    client = client_of(models, keys_file=file)
    assert accepted(client, KEY) and not accepted(client, SECOND)
    file.write_text(f"{LINE}\n{SECOND_LINE}\n")
    wait_until(lambda: accepted(client, SECOND), seconds=5, what="the second key is known")
    assert accepted(client, KEY)
    file.write_text(f"{SECOND_LINE}\n")
    wait_until(lambda: not accepted(client, KEY), seconds=5, what="the first is forgotten")


def test_a_broken_file_keeps_the_former_keys_and_is_told(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(keyring, "LOOK_SECONDS", 0.01)
    file = tmp_path / "keys"
    file.write_text(LINE)
    client = client_of(models, keys_file=file)
    for broken in (lambda: file.write_text(f"{LINE}\n{SECOND}\n"), file.unlink):
        broken()
        wait_until(
            lambda: "treeline_keys_file_refused 1.0" in client.get("/metrics").text,
            seconds=5,
            what="it is told that the file is refused",
        )
        assert accepted(client, KEY)
    assert "line 2" in caplog.text and "former keys stay valid" in caplog.text
    assert SECOND not in caplog.text and str(tmp_path) not in client.get("/readyz").text
    file.write_text(SECOND_LINE)
    wait_until(lambda: accepted(client, SECOND), seconds=5, what="the mended file is read")
    assert "treeline_keys_file_refused 0.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    "keys",
    [KEY, "trainer:sha256:12", "two words:sha256:" + "0" * 64],
    ids=["the key itself", "short", "two words"],
)
def test_a_key_that_is_not_written_as_it_must_be_stops_the_start_and_is_not_repeated(
    models: Path, keys: str
) -> None:
    with pytest.raises(ConfigError, match="API_KEYS, entry 2") as raised:
        client_of(models, keys=f"{LINE},{keys}")
    assert keys not in str(raised.value)


def test_a_file_that_is_not_there_stops_the_start(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="API_KEYS_FILE: it cannot be read: No such file"):
        client_of(models, keys_file=tmp_path / "none")


def test_the_command_makes_a_key_that_works(models: Path) -> None:
    command = [sys.executable, "-m", "api.keys", "trainer"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    key = next(word for word in made if word.startswith("treeline_"))
    line = next(word for word in made if word.startswith("trainer:sha256:"))
    assert accepted(client_of(models, keys=line), key)
    refused = subprocess.run([*command[:3], "a b"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "'a b'" in refused.stderr


def test_two_made_for_one_name_are_both_known_so_that_users_can_change_over(models: Path) -> None:
    newer, newer_line = new_key("trainer")
    client = client_of(models, keys=f"{LINE},{newer_line}")
    assert accepted(client, KEY) and accepted(client, newer)


def test_settings_show_no_secret() -> None:
    url = "postgresql+psycopg://log:hunter2@database/log"
    settings = Settings.model_validate({"keys": LINE, "prediction_log_url": url})
    assert "hunter2" not in repr(settings) and LINE not in repr(settings)
