"""What a key is good for, until when, and what becomes of keys that are not valid."""

import logging
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.http.auth import AT_ONCE
from api.http.keyring import EVERYTHING, Key, Keyring, new_key, parsed
from api.settings import Settings
from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL
from treeline.errors import ConfigError

PREDICT = ("POST", "/v1/predict")
BATCH = ("POST", "/v1/predict/batch")
INFER = ("POST", "/v2/models/tree-survival/infer")
EXPORT = ("GET", "/v1/predictions")
FEEDBACK = ("POST", "/v1/feedback")
UPLOAD = ("PUT", "/v1/models/mine")
DESCRIBE = ("PATCH", "/v1/models/mine")
REMOVE = ("DELETE", "/v1/models/mine")
LOAD = ("POST", "/v2/repository/models/mine/load")
UNLOAD = ("POST", "/v2/repository/models/mine/unload")
BY_SCOPE = {
    "predict": (PREDICT, BATCH, INFER),
    "read": (EXPORT,),
    "write": (FEEDBACK, UPLOAD, DESCRIBE, REMOVE, LOAD, UNLOAD),
}
KEYS = {scope: new_key(scope, scopes=frozenset({scope})) for scope in BY_SCOPE}
KEYS["all"] = new_key("all")
KEYS["late"] = new_key("late", expires=date(2020, 2, 29))
LINES = ",".join(line for _, line in KEYS.values())


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A service that answers nothing without a key."""
    state = tmp_path_factory.mktemp("state")
    settings = Settings.model_validate(
        {"model_dir": models, "state_dir": state, "keys": LINES, "predictions_open": False}
    )
    return TestClient(create_app(settings))


def asked(client: TestClient, route: tuple[str, str], key: str) -> Any:
    return client.request(*route, headers={"X-API-Key": key})


@pytest.mark.parametrize("route", [each for routes in BY_SCOPE.values() for each in routes])
def test_a_route_is_opened_by_its_scope_and_by_no_other(
    client: TestClient, route: tuple[str, str]
) -> None:
    for scope, routes in BY_SCOPE.items():
        answer = asked(client, route, KEYS[scope][0])
        if route in routes:
            assert answer.status_code not in (401, 403), answer.text
            continue
        assert answer.status_code == 403
        wanted = next(name for name, of in BY_SCOPE.items() if route in of)
        text = answer.json().get("detail") or answer.json()["error"]
        assert f"no scope '{wanted}'" in text and f"it has: {scope}" in text
    assert asked(client, route, KEYS["all"][0]).status_code not in (401, 403)


def test_every_route_that_needs_a_key_names_its_scope_in_the_document(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    said = {
        (method.upper(), path): operation["security"]
        for path, item in paths.items()
        for method, operation in item.items()
        if "security" in operation
    }
    for scope, routes in BY_SCOPE.items():
        for method, path in routes:
            template = path.replace("/mine", "/{model}").replace("s/tree-survival", "s/{model}")
            assert said[method, template] == [{"bearer": [scope]}, {"header": [scope]}]


@pytest.mark.parametrize("route", [PREDICT, EXPORT, UPLOAD])
def test_a_key_that_has_expired_is_refused_and_logged(
    models: Path, tmp_path: Path, route: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"model_dir": models, "state_dir": tmp_path, "keys": LINES}
    app = create_app(Settings.model_validate({**settings, "predictions_open": False}))
    answer = asked(TestClient(app), route, KEYS["late"][0])
    assert answer.status_code == 401
    assert "valid until 2020-02-29" in answer.json()["detail"]
    assert "the key late has expired" in caplog.text and KEYS["late"][0] not in caplog.text


def test_a_key_is_valid_on_its_last_day() -> None:
    key = Key("a", expires=date(2027, 1, 31))
    assert not key.expired(date(2027, 1, 31)) and key.expired(date(2027, 2, 1))
    assert not Key("a").expired()


def test_a_line_of_a_former_release_opens_everything() -> None:
    (key,) = parsed([f"old:sha256:{'0' * 64}"], place="line").values()
    assert key == Key("old", EVERYTHING, None)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (":scopes=", "the scopes are predict, read, write"),
        (":scopes=admin", "the scopes are predict, read, write"),
        (":expires=tomorrow", "expires after a day such as 2027-01-31"),
        (":expires=2027-02-30", "expires after a day such as 2027-01-31"),
        (":expires=2027-01-31:expires=2028-01-31", "each once"),
        (":role=admin", "give scopes=… and expires=…"),
        (":scopes=PREDICT", "it is not name:sha256:"),
        (":", "it is not name:sha256:"),
    ],
)
def test_a_line_that_says_something_else_stops_the_start(
    models: Path, ending: str, reason: str
) -> None:
    line = f"old:sha256:{'0' * 64}{ending}"
    with pytest.raises(ConfigError, match="API_KEYS, entry 1") as raised:
        Keyring(Settings.model_validate({"model_dir": models, "keys": line}))
    assert reason in str(raised.value) and "0" * 64 not in str(raised.value)


def test_the_command_makes_a_key_of_these_scopes_until_that_day() -> None:
    command = [sys.executable, "-m", "api.keys", "analyst"]
    options = ["--scopes", "predict,read", "--expires", "2099-01-31"]
    made = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    line = next(word for word in made.stdout.split() if word.startswith("analyst:"))
    (key,) = parsed([line], place="line").values()
    assert key == Key("analyst", frozenset({"predict", "read"}), date(2099, 1, 31))
    refused = subprocess.run(
        [*command, "--scopes", "root"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "the scopes are predict, read, write" in refused.stderr


def test_wrong_keys_are_logged_now_and_then_limited_and_counted_and_valid_ones_are_not(
    models: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve(models, keys=LINES, requests_per_second=0)
    wrong = "treeline_" + "x" * 43
    statuses = [asked(client, UPLOAD, wrong).status_code for _ in range(AT_ONCE + 10)]
    assert statuses == [401] * AT_ONCE + [429] * 10
    limited = asked(client, UPLOAD, wrong)
    assert int(limited.headers["Retry-After"]) > 0
    said = [each for each in caplog.records if each.name == "api.http.auth"]
    assert len(said) == 1 and said[0].levelno == logging.WARNING
    assert "PUT /v1/models/mine from testclient" in caplog.text and wrong not in caplog.text
    assert asked(client, UPLOAD, KEYS["all"][0]).status_code not in (401, 403, 429)
    assert client.put("/v1/models/mine").status_code == 401  # none is no wrong one
    assert "treeline_refused_keys_total 31.0" in client.get("/metrics").text


def test_wrong_keys_of_one_address_hold_up_no_other(models: Path) -> None:
    app = create_app(Settings.model_validate({"model_dir": models, "keys": LINES}))
    first, second = (TestClient(app, client=(f"10.0.0.{number}", 1)) for number in (1, 2))
    for _ in range(AT_ONCE):
        asked(first, UPLOAD, "wrong")
    assert asked(first, UPLOAD, "wrong").status_code == 429
    assert asked(second, UPLOAD, "wrong").status_code == 401


def test_open_predictions_ask_for_no_key_whatever_it_is(models: Path, serve: Serve) -> None:
    client = serve(models, keys=LINES)
    for key in ("wrong", KEYS["late"][0], KEYS["write"][0]):
        answer = client.post("/v1/predict", json=SURVIVAL.example, headers={"X-API-Key": key})
        assert answer.status_code == 200
