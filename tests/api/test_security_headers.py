"""What every answer tells a browser, who may call from a page, and what is never told."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL

PAGE = "https://forest.example"
ASKED = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
PATHS = (
    *("/", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json", "/healthz", "/readyz"),
    *("/metrics", "/v1/models", "/v1/models/iris", "/v1/models/oak", "/nowhere", "/v1/predict"),
)


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_may_do_nothing_with_an_answer_that_it_does_not_say(
    client: TestClient, path: str
) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert len(headers.get_list("Content-Security-Policy")) == 1
    assert headers.get("Cache-Control") == (None if "assets" in path else "no-store")
    assert "Server" not in headers


def test_pages_of_other_origins_may_not_call(client: TestClient) -> None:
    answer = client.post("/v1/predict", json=SURVIVAL.example, headers={"Origin": PAGE})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.options("/v1/predict", headers=ASKED).status_code == 405


def test_pages_of_a_named_origin_may_call_for_predictions_too(models: Path, serve: Serve) -> None:
    client = serve(models, cors_origins=(PAGE,))
    asked = client.options(
        "/v1/predict", headers={**ASKED, "Access-Control-Request-Headers": "x-api-key"}
    )
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Origin"] == PAGE
    for answer in (
        client.post("/v1/predict", json=SURVIVAL.example, headers={"Origin": PAGE}),
        client.post("/v1/predict", json={}, headers={"Origin": PAGE}),
        client.get("/v1/models", headers={"Origin": PAGE}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    other = client.get("/v1/models", headers={"Origin": "https://other.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_failure_tells_nothing_of_the_inside(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(model_dir=models))

    @app.get("/failing")
    async def failing() -> None:
        raise RuntimeError(f"cannot read {models}")

    answer = TestClient(app).get("/failing")
    assert answer.status_code == 500
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "Traceback" not in answer.text and str(models) not in answer.text
    assert answer.headers["X-Request-ID"] in answer.json()["detail"]
    assert "RuntimeError" in caplog.text
