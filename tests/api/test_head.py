"""HEAD is answered wherever GET is: the same status and headers, and no body."""

from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.serving import serving

PAGES = ("/", "/docs", "/about", "/help", "/openapi.json", "/healthz", "/readyz", "/metrics")
MOVING = {"x-request-id", "date", "content-length"}


def readable(client: TestClient) -> list[str]:
    """Return every path that GET answers, of one model where it names one."""
    paths = client.get("/openapi.json").json()["paths"]
    named = (path.replace("{model}", "iris") for path, ways in paths.items() if "get" in ways)
    return [*PAGES, *(path for path in named if "{" not in path and path not in PAGES)]


def test_every_path_that_is_read_is_answered_with_its_head_alone(client: TestClient) -> None:
    paths = readable(client)
    assert {"/v1/models", "/v1/models/iris", "/v2/health/live"} <= set(paths)
    for path in paths:
        whole = client.get(path, follow_redirects=False)
        head = client.head(path, follow_redirects=False)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        kept = [
            {name: value for name, value in answer.headers.items() if name not in MOVING}
            for answer in (head, whole)
        ]
        assert kept[0] == kept[1], path


@pytest.mark.parametrize("path", ["/v1/forecast", "/v1/models/oak"])
def test_what_is_not_there_is_not_there_for_head(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_head_is_refused_where_nothing_is_read(client: TestClient) -> None:
    answer = client.head("/v1/predict")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert client.put("/v1/models").headers["Allow"] == "GET, HEAD"


def test_the_metrics_name_the_method_and_the_route(client: TestClient) -> None:
    client.head("/v1/models/iris")
    line = 'method="HEAD",route="/v1/models/{model}",status="200"'
    assert line in client.get("/metrics").text


def test_a_connection_goes_on_after_an_answer_without_a_body(models: Path, tmp_path: Path) -> None:
    with (
        serving(models, tmp_path / "log") as service,
        httpx2.Client(base_url=service.url, timeout=60) as client,
    ):
        for path in ("/", "/v1/models", "/v1/models/oak", "/readyz"):
            head, whole = client.head(path), client.get(path)
            assert head.status_code == whole.status_code
            assert (
                head.headers["content-length"]
                == str(len(whole.content))
                == whole.headers["content-length"]
            )
            assert head.content == b""
