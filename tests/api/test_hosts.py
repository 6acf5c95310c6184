"""By which name a service is called is the caller's word: it is repeated nowhere."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL

ELSEWHERE = "elsewhere.example"
NAMED = {"Host": ELSEWHERE}
PATHS = ("/", "/?model=iris", "/docs", "/docs/", "/openapi.json", "/v1/models/", "/nothing", "/v2/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", [ELSEWHERE, "[", f"{ELSEWHERE}/x?", f"user@{ELSEWHERE}"])
def test_no_answer_repeats_the_host_of_a_request(client: TestClient, path: str, host: str) -> None:
    answer = client.get(path, headers={"Host": host}, follow_redirects=False)
    assert answer.status_code < 500
    assert ELSEWHERE not in answer.text and ELSEWHERE not in str(answer.headers)
    if answer.status_code == 404:
        assert answer.json()["instance"] == path


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("/docs/", "/docs"),
        ("/v1/models/?a=1&b=%2F", "/v1/models?a=1&b=%2F"),
        ("/v1/models/iris/", "/v1/models/iris"),
    ],
)
def test_a_slash_too_many_leads_to_the_path_without_it(
    client: TestClient, asked: str, place: str
) -> None:
    answer = client.get(asked, headers=NAMED, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, place)


@pytest.mark.parametrize("asked", ["//elsewhere.example/", "/elsewhere.example/", "/v1/nothing/"])
def test_a_path_that_is_not_served_leads_nowhere(client: TestClient, asked: str) -> None:
    answer = client.get(f"http://testserver{asked}", follow_redirects=False)
    assert answer.status_code == 404


def test_the_document_names_no_server(client: TestClient) -> None:
    assert "servers" not in client.get("/openapi.json", headers=NAMED).json()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("tree.example", 200),
        ("TREE.example:8000", 200),
        ("a.b.inside.example", 200),
        ("[::1]:80", 200),
        ("inside.example", 400),
        ("notinside.example", 400),
        ("tree.example.elsewhere.example", 400),
        ("", 400),
    ],
)
def test_where_hosts_are_named_no_other_is_answered(
    models: Path, serve: Serve, host: str, status: int
) -> None:
    hosts = "tree.example, *.inside.example, [::1]"
    client = serve(models, allowed_hosts=hosts)
    with_host = {"Host": host}
    for answer in (
        client.post("/v1/predict", json=SURVIVAL.example, headers=with_host),
        client.get("/v1/models", headers=with_host),
    ):
        assert answer.status_code == status
    if status == 400:
        assert answer.json()["type"] == "urn:treeline:problem:unknown-host"
        assert answer.headers["X-Request-ID"]
    assert client.get("/healthz", headers=with_host).status_code == 200
