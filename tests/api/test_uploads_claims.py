"""What an upload says of itself is a claim: shown as one, bounded, and never its version."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.models.cards import ClaimedSignature, Claims
from tests.api.uploading import uploading
from tests.tiny_models import IRIS, Recipe, build_graph, sign
from treeline.contract.signature import Signature

LONG = 300_000


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TestClient]:
    places = (tmp_path_factory.mktemp(name) for name in ("models", "state"))
    with uploading(*places) as client:
        yield client


def payload(recipe: Recipe, **changed: object) -> bytes:
    graph = build_graph(recipe)
    sign(graph, recipe, **changed)
    return graph.SerializeToString()


def test_what_an_upload_says_of_itself_is_shown_as_a_claim(client: TestClient) -> None:
    body = payload(IRIS, version="0123456789ab")
    card = client.put("/v1/models/claiming", content=body).json()
    assert card["version"] == hashlib.sha256(body).hexdigest()[:12]
    assert set(card["claims"]) == set(Claims.model_fields)
    assert card["claims"]["metrics"] == {"roc_auc": 0.9}
    assert card["claims"]["verdict"]["passed"] is True
    assert not set(card["claims"]) & set(card)
    answer = client.post("/v1/models/claiming/predict", json=IRIS.example).json()
    assert answer["version"] == card["version"]
    told = [client.get(path).text for path in ("/v1/models", "/v1/models/claiming", "/metrics")]
    assert "0123456789ab" not in "".join(told)


def test_all_that_a_signature_says_is_said_or_claimed() -> None:
    claimed = set(Claims.model_fields)
    said = set(ClaimedSignature.model_fields) - {"claims", "job"}  # which the service says
    assert said | claimed == set(Signature.model_fields)
    assert said & claimed == set()


def test_a_version_that_is_long_is_repeated_nowhere(client: TestClient) -> None:
    version = "v" * LONG
    created = client.put("/v1/models/lengthy", content=payload(IRIS, version=version))
    assert created.status_code == 201
    assert len(created.json()["version"]) == 12
    client.post("/v1/models/lengthy/predict", json=IRIS.example)
    for path in ("/v1/models", "/v1/models/lengthy", "/readyz", "/metrics", "/openapi.json"):
        assert version not in client.get(path).text
    assert client.delete("/v1/models/lengthy").status_code == 204
    assert "vvvv" not in client.get("/metrics").text


FIRST = next(iter(IRIS.features))


def with_feature(name: str = FIRST, **changed: Any) -> Recipe:
    features = dict(IRIS.features)
    example = dict(IRIS.example)
    features[name] = features.pop(FIRST).model_copy(update=changed)
    example[name] = example.pop(FIRST)
    return replace(IRIS, features=features, example=example)


TOO_LONG: dict[str, tuple[Recipe, dict[str, Any], str]] = {
    "the name of a feature": (with_feature("n" * 300), {}, "a name of 300 characters"),
    "the name of a class": (
        replace(IRIS, classes=("setosa", "versicolor", "v" * 300)),
        {},
        "a name of 300 characters",
    ),
    "the description": (IRIS, {"description": "d" * 20_000}, "a description of 20000 characters"),
    "the notes": (IRIS, {"notes": "d" * 20_000}, "a description of 20000 characters"),
    "the description of a feature": (
        with_feature(description="d" * 20_000),
        {},
        "a description of 20000 characters",
    ),
    "all of it": (
        IRIS,
        {"metrics": {f"m{n}": 0.5 for n in range(60_000)}},
        "its signature is long",
    ),
}


@pytest.mark.parametrize("case", TOO_LONG)
def test_texts_that_would_be_repeated_are_limited(client: TestClient, case: str) -> None:
    recipe, changed, words = TOO_LONG[case]
    refused = client.put("/v1/models/wordy", content=payload(recipe, **changed))
    assert refused.status_code == 422
    assert words in refused.json()["detail"]
    assert len(refused.content) < 10_000
    assert client.get("/v1/models/wordy").status_code == 404


def test_an_unknown_key_that_is_long_is_told_shortly(client: TestClient) -> None:
    graph = build_graph(IRIS)
    document = json.loads(sign(graph, IRIS).embedded())
    graph.metadata_props[0].value = json.dumps(document | {"k" * LONG: 1})
    refused = client.put("/v1/models/wordy", content=graph.SerializeToString())
    assert refused.status_code == 422
    assert len(refused.content) < 10_000


def test_the_version_of_an_upload_is_that_of_its_bytes_whatever_git_has(
    models: Path, tmp_path: Path
) -> None:
    with uploading(models, tmp_path) as client:
        git = client.get("/readyz").json()["models"]["iris"]
        body = payload(IRIS, version=git)
        assert client.put("/v1/models/iris", content=body).status_code == 409
        card = client.put("/v1/models/other-iris", content=body).json()
        assert card["version"] == hashlib.sha256(body).hexdigest()[:12] != git
