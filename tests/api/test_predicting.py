"""The short way to a prediction: what it reads, and what it leaves to the router."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.tiny_models import SURVIVAL

BODY = json.dumps(SURVIVAL.example).encode()


def sent(models: Path, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Let an application receive these messages of one request, and return what it sends."""
    answered: list[dict[str, Any]] = []
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        answered.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": [], "state": {}}
    asyncio.run(create_app(Settings(model_dir=models))(scope, receive, send))
    return answered


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_may_come_in_pieces(models: Path) -> None:
    start, body = sent(models, part(BODY[:40]), part(b""), part(BODY[40:], more=False))
    assert start["status"] == 200
    assert json.loads(body["body"])["model"] == "tree-survival"
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


def test_a_caller_that_has_gone_is_not_answered_and_no_failure_is_logged(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert sent(models, part(BODY[:40]), {"type": "http.disconnect"}) == []
    assert caplog.text == ""


def test_behind_a_prefix_the_router_answers(models: Path) -> None:
    client = TestClient(create_app(Settings(model_dir=models)), root_path="/trees")
    answer = client.post("/trees/v1/predict", json=SURVIVAL.example)
    assert answer.json()["model"] == "tree-survival"
    refused = client.post("/trees/v1/predict", json={})
    assert refused.status_code == 422 and refused.headers["X-Request-ID"]
