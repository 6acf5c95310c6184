"""The truth is told by the id of a prediction, early or late, once or again."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

FEEDBACK = "/v1/feedback"


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    state = tmp_path_factory.mktemp("state")
    settings = Settings(model_dir=models, state_dir=state, keys=KEY_LINE, max_body_bytes=500_000)
    with TestClient(create_app(settings), headers=HEADERS) as client:
        yield client


def predict(client: TestClient) -> str:
    """Return the id of a new prediction."""
    answered: str = client.post("/v1/predict", json=SURVIVAL.example).json()["id"]
    return answered


def truths(client: TestClient) -> dict[str, Any]:
    """Return the truth of each prediction that is exported."""
    return {row["id"]: row["truth"] for row in lines(client.get("/v1/predictions").text)}


def test_a_truth_is_joined_to_its_prediction_whenever_it_comes(client: TestClient) -> None:
    at_once, again, corrected, other = (predict(client) for _ in range(4))
    everything = [
        {"id": at_once, "truth": 1},
        [{"id": again, "truth": True}, {"id": corrected, "truth": "0"}],
        {"id": again, "truth": True},
        [{"id": corrected, "truth": 0.0}, {"id": corrected, "truth": "1"}],
        {"id": "of-no-prediction", "truth": 1},
    ]
    for body in everything:
        answer = client.post(FEEDBACK, json=body)
        assert answer.status_code == 202
        assert answer.json() == {"accepted": len(body) if isinstance(body, list) else 1}
    expected = {at_once: 1, again: 1, corrected: 1, other: None}
    wait_until(lambda: truths(client) == expected, seconds=15, what="every truth is joined")
    client.post(FEEDBACK, json={"id": at_once, "truth": 0})  # long after its prediction
    wait_until(lambda: truths(client)[at_once] == 0, seconds=15, what="it is corrected")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": "x"}, "truth"),
        ({"id": "x", "truth": None}, "truth"),
        ({"id": "x", "truth": [1]}, "truth"),
        ({"id": "x", "truth": "y" * 201}, "truth"),
        ({"id": "x", "truth": 10**400}, "truth"),
        ({"id": 7, "truth": 1}, "id"),
        ({"id": "two words", "truth": 1}, "id"),
        ({"id": "x", "truth": 1, "model": "iris"}, "model"),
        ({"key": "x", "truth": 1, "model": "nobody-knows-it"}, "model"),
        ({"key": "x", "truth": 1, "model": "../no name"}, "model"),
        ([{"id": "x", "truth": 1}, {"id": "y", "truth": {}}], "1.truth"),
        ([{"id": "x", "truth": 1}] * 10_001, "body"),
        ([], "body"),
        ("x", "body"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_truth_is_refused_with_its_place(
    client: TestClient, body: object, field: str
) -> None:
    answer = client.post(FEEDBACK, json=body)
    assert answer.status_code == 422
    assert field in [each["field"] for each in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b'{"id": "x"', "application/json", 400),
        (b'{"id": "x", "truth": NaN}', "application/json", 422),
        (b"id,truth", "text/csv", 415),
        (b" " * 500_001, "application/json", 413),
    ],
    ids=["half", "NaN", "CSV", "large"],
)
def test_a_body_that_cannot_be_read_is_refused(
    client: TestClient, content: bytes, media_type: str, status: int
) -> None:
    answer = client.post(FEEDBACK, content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status


def test_a_truth_that_the_disk_does_not_confirm_is_not_accepted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = predict(client)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        answer = client.post(FEEDBACK, json={"id": known, "truth": 1})
    assert answer.status_code == 503
    assert client.post(FEEDBACK, json={"id": known, "truth": 1}).status_code == 202
