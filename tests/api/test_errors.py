"""Whatever goes wrong is answered in one shape, and says what, where, and what would be right."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL

SHAPE = ["type", "title", "status", "detail", "instance"]


def refused(client: TestClient, **changes: object) -> list[dict[str, Any]]:
    """Post the example with some values changed, and return what is said to be wrong."""
    body = json.dumps({**SURVIVAL.example, **changes})
    answer = client.post("/v1/predict", content=body)
    assert answer.status_code == 422, answer.text
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


def test_an_unknown_category_is_told_the_admitted_ones(client: TestClient) -> None:
    species = ["Acer saccharum", "Prunus serotina", "Quercus alba", "Quercus rubra"]
    assert refused(client, Species="Pinus strobus") == [
        {
            "field": "Species",
            "message": f'"Pinus strobus" is not admitted; give one of {", ".join(species)}',
            "value": "Pinus strobus",
            "admitted": species,
        }
    ]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("Light_ISF", "0.1", '"0.1" is a text; give a number from 0 to 1'),
        ("Light_ISF", True, "true is a boolean; give a number from 0 to 1"),
        ("Light_ISF", None, "is missing; give a number from 0 to 1"),
        ("Light_ISF", [0.1], "[0.1] is a list; give a number from 0 to 1"),
        ("Light_ISF", 1.01, "1.01 is not admitted; give a number from 0 to 1"),
        ("EMF", -1, "-1 is not admitted; give a number from 0 to 100, or leave it out"),
        ("Leaves", 2.5, "2.5 is not admitted; give a whole number, at least 0"),
        ("Leaves", -1, "-1 is not admitted; give a whole number, at least 0"),
        ("Sterile", 1, "1 is a number; give true or false"),
        ("Species", 3, "3 is not admitted; give one of Acer"),
        ("Phenolics", 1e39, "1e39 is not admitted; give a number that fits float32: at most 3.4"),
        ("Phenolics", "x" * 500, f'"{"x" * 79}… is a text; give a number, or leave it out'),
    ],
)
def test_a_refused_value_is_named_with_what_is_admitted(
    client: TestClient, field: str, value: object, message: str
) -> None:
    (error,) = refused(client, **{field: value})
    assert error["field"] == field
    assert error["message"].replace("e+", "e").startswith(message)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(client: TestClient, token: str) -> None:
    body = json.dumps(SURVIVAL.example).replace("0.25", token)
    answer = client.post("/v1/predict", content=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "Light_ISF"
    assert error["value"] == ("Infinity" if token == "1e999" else token)


def test_everything_that_is_wrong_is_listed(client: TestClient) -> None:
    errors = refused(client, Species="Pinus", Light_ISF=7, Height=1.2, Sterile="no")
    assert [error["field"] for error in errors] == ["Species", "Light_ISF", "Sterile", "Height"]


def test_a_missing_value_is_told_what_to_give(client: TestClient) -> None:
    answer = client.post("/v1/predict", json={**SURVIVAL.example, "Leaves": 1, "Light_ISF": 0})
    assert answer.status_code == 200
    record = {name: value for name, value in SURVIVAL.example.items() if name != "Leaves"}
    (error,) = client.post("/v1/predict", json=record).json()["errors"]
    assert error == {
        "field": "Leaves",
        "message": "is missing; give a whole number, at least 0",
        "value": None,
    }


def test_an_unknown_field_is_told_the_features(client: TestClient) -> None:
    (error,) = refused(client, light_isf=0.3)
    assert error["field"] == "light_isf"
    assert "its features are: Species, Light_ISF, EMF" in error["message"]


@pytest.mark.parametrize(
    ("count", "expected"), [(2_000, "and 1904 more"), (50_000, "has 50000 keys or thereabouts")]
)
def test_thousands_of_unknown_fields_do_not_make_a_long_answer(
    client: TestClient, count: int, expected: str
) -> None:
    answer = client.post("/v1/predict", json={str(number): 1 for number in range(count)})
    assert answer.status_code == 422
    assert len(answer.content) < 50_000
    assert answer.json()["errors"][-1]["message"].startswith(expected)


@pytest.mark.parametrize("body", ["[1]", "null", '"text"', "3.5", "true", "[]"])
def test_a_body_that_is_no_object_is_refused(client: TestClient, body: str) -> None:
    answer = client.post("/v1/predict", content=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "body"
    assert "give one JSON object" in error["message"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "line 1 column 0"),
        (b'{"Species": ', "line 1 column 12"),
        (b'{\n"Leaves": 4,\n}', "line 3 column 1"),
        (b"{'Leaves': 4}", "line 1 column 2"),
        (b'{"Species": "\xff"}', "line 1 column 14"),
        (b'\xff\xfe{"Leaves": 4}', "line 1 column 1"),
        (b'{"Species": "\\ud800"}', "line 1 column 20"),
        (b"[" * 5000, "recursion limit"),
    ],
)
def test_malformed_json_is_told_where(client: TestClient, body: bytes, place: str) -> None:
    answer = client.post("/v1/predict", content=body)
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:treeline:problem:malformed-body"
    assert place in answer.json()["detail"]


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-www-form-urlencoded", "json"])
def test_another_media_type_is_refused(client: TestClient, media_type: str) -> None:
    answer = client.post("/v1/predict", content="{}", headers={"Content-Type": media_type})
    assert answer.status_code == 415
    assert media_type in answer.json()["detail"]


def test_a_body_above_the_limit_is_refused_by_what_it_says(models: Any, serve: Serve) -> None:
    answer = serve(models, max_body_bytes=100).post("/v1/predict", content=b" " * 101)
    assert answer.status_code == 413
    assert "100 bytes" in answer.json()["detail"]


def test_a_body_above_the_limit_is_refused_when_it_does_not_say(models: Any, serve: Serve) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 10

    answer = serve(models, max_body_bytes=100).post("/v1/predict", content=chunks())
    assert answer.status_code == 413


def test_a_body_of_just_the_limit_is_read(models: Any, serve: Serve) -> None:
    body = json.dumps(SURVIVAL.example).encode()
    padded = body + b" " * (500 - len(body))
    assert serve(models, max_body_bytes=500).post("/v1/predict", content=padded).status_code == 200


def test_an_unknown_model_is_told_those_there_are(client: TestClient) -> None:
    for answer in (client.post("/v1/models/oak/predict", json={}), client.get("/v1/models/oak")):
        assert answer.status_code == 404
        assert "diabetes, iris, tree-survival" in answer.json()["detail"]


def test_an_unknown_path_is_told_where_to_look(client: TestClient) -> None:
    answer = client.get("/v1/forecast")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Nothing is served at /v1/forecast; /docs shows what is."


def test_a_wrong_method_is_told_the_right_one(client: TestClient) -> None:
    answer = client.get("/v1/predict")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json()["detail"] == "GET does not work on /v1/predict; use POST."


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/predict", "{}"),
        ("POST", "/v1/predict", "{"),
        ("POST", "/v1/models/oak/predict", "{}"),
        ("GET", "/v1/predict", ""),
        ("GET", "/nowhere", ""),
        ("DELETE", "/healthz", ""),
    ],
)
def test_every_problem_has_one_shape(client: TestClient, method: str, path: str, body: str) -> None:
    answer = client.request(method, path, content=body)
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]
    assert [key for key in problem if key != "errors"] == SHAPE
    assert problem["status"] == answer.status_code
    assert problem["instance"] == path


def test_an_unforeseen_failure_is_logged_and_not_shown(
    models: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(model_dir=models))

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("the secret")

    answer = TestClient(app).get("/fail", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] == "r-1"
    assert list(answer.json()) == SHAPE
    assert "r-1" in answer.json()["detail"]
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "the secret" in caplog.text and "r-1" in caplog.text
