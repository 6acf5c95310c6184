"""Limits: how often one caller may ask, and how much is under way at once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.http.auth import Buckets, address
from api.http.keyring import new_key
from api.settings import Settings
from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL

KEY, LINE = new_key("trainer")
PREDICTED: dict[str, Any] = {"json": SURVIVAL.example}


def test_who_asks_too_often_is_told_when_to_come_back(models: Path, serve: Serve) -> None:
    client = serve(models, requests_per_second=0.1)
    assert client.post("/v1/predict", **PREDICTED).status_code == 200
    answer = client.post("/v1/predict", **PREDICTED)
    assert answer.status_code == 429
    assert 9 <= int(answer.headers["Retry-After"]) <= 10
    assert "API_REQUESTS_PER_SECOND" in answer.json()["detail"]
    assert client.get("/healthz").status_code == 200


def test_each_key_has_a_rate_of_its_own(models: Path, serve: Serve) -> None:
    client = serve(models, requests_per_second=0.1, keys=LINE)
    assert client.post("/v1/predict", **PREDICTED).status_code == 200
    keyed = {"X-API-Key": KEY}
    assert client.post("/v1/predict", **PREDICTED, headers=keyed).status_code == 200
    assert client.post("/v1/predict", **PREDICTED, headers=keyed).status_code == 429


def test_made_up_keys_do_not_lift_the_limit(models: Path, serve: Serve) -> None:
    client = serve(models, requests_per_second=0.1, keys=LINE)
    statuses = [
        client.post("/v1/predict", **PREDICTED, headers={"X-API-Key": key}).status_code
        for key in ("one", "another")
    ]
    assert statuses == [200, 429]


def test_a_bucket_fills_again_up_to_a_second_of_requests() -> None:
    buckets = Buckets(2)
    assert [buckets.wait_seconds("a", now=0) for _ in range(3)] == [0, 0, 0.5]
    assert buckets.wait_seconds("a", now=0.5) == 0
    assert [buckets.wait_seconds("a", now=100) for _ in range(3)] == [0, 0, 0.5]


def test_callers_are_forgotten_rather_than_filling_the_memory() -> None:
    buckets = Buckets(1, most=10)
    for caller in range(100):
        buckets.wait_seconds(str(caller), now=0)
    assert len(buckets) == 10


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("2001:db8::8%eth0", "2001:db8::/64"),
        ("a:b", "a:b"),
    ],
)
def test_one_ipv6_network_is_one_caller(host: str, counted: str) -> None:
    assert address({"client": (host, 1)}) == counted


def scope(path: str, *, method: str) -> dict[str, Any]:
    return {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"},
        **{"method": method, "path": path, "raw_path": path.encode(), "query_string": b""},
        **{"root_path": "", "headers": [], "client": ("test", 1), "server": ("test", 80)},
    }


def test_with_too_much_under_way_the_next_is_sent_away_and_supervisors_are_answered(
    models: Path,
) -> None:
    app = create_app(Settings(model_dir=models, max_requests=1))
    answers: dict[str, Any] = {}

    async def asked(path: str, *, method: str, reading: asyncio.Future[None]) -> None:
        async def receive() -> dict[str, Any]:
            body = json.dumps(SURVIVAL.example).encode() if method == "POST" else b""
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                await reading
                answers[path] = message

        await app(scope(path, method=method), receive, send)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        slow, quick = loop.create_future(), loop.create_future()
        quick.set_result(None)
        first = asyncio.create_task(asked("/docs", method="GET", reading=slow))
        await asyncio.sleep(0.1)
        for path in ("/v1/models", "/healthz", "/readyz", "/metrics"):
            await asked(path, method="GET", reading=quick)
        await asked("/v1/predict", method="POST", reading=quick)
        slow.set_result(None)
        await first
        await asked("/v1/models/iris", method="GET", reading=quick)

    asyncio.run(story())
    statuses = {path: message["status"] for path, message in answers.items()}
    assert statuses == {
        **{"/v1/predict": 503, "/v1/models": 503, "/docs": 200, "/v1/models/iris": 200},
        **{"/healthz": 200, "/readyz": 200, "/metrics": 200},
    }
    assert dict(answers["/v1/models"]["headers"])[b"retry-after"] == b"1"
