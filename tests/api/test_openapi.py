"""The document describes every model as it is, and what it describes is what happens."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.http.problems import MEDIA_TYPE
from tests.api.conftest import Serve
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe

RECIPES = {recipe.name: recipe for recipe in (DIABETES, IRIS, SURVIVAL)}
PREDICTING = ["/v1/predict", *(f"/v1/models/{name}/predict" for name in RECIPES)]


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document)
    assert document["openapi"].startswith("3.1")


def test_every_model_has_a_path_of_its_own(document: dict[str, Any]) -> None:
    assert [path for path in document["paths"] if path.endswith("predict")] == PREDICTING


def test_no_object_is_one_that_generators_take_for_empty(document: dict[str, Any]) -> None:
    says_more = {"properties", "additionalProperties", "maxProperties"}

    def empty(part: Any) -> list[Any]:
        if isinstance(part, list):
            return [found for each in part for found in empty(each)]
        if not isinstance(part, dict):
            return []
        bare = part.get("type") == "object" and not says_more & part.keys()
        return [*([part] if bare else []), *empty(list(part.values()))]

    assert empty(document) == []


@pytest.mark.parametrize("path", PREDICTING)
def test_the_documented_request_is_answered_as_documented(
    client: TestClient, document: dict[str, Any], path: str
) -> None:
    operation = document["paths"][path]["post"]
    request = operation["requestBody"]["content"]["application/json"]
    response = operation["responses"]["200"]["content"]["application/json"]
    answer = client.post(path, json=request["example"])
    assert answer.status_code == 200
    schema = resolved(document, response["schema"])
    assert set(answer.json()) == set(schema["required"])
    assert set(schema["properties"]) == {*schema["required"], "explanation"}
    assert answer.json() | {"id": ""} == response["example"] | {"id": ""}


@pytest.mark.parametrize("path", PREDICTING)
def test_every_problem_is_documented(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]
    for status in ("400", "413", "415", "422"):
        schema = resolved(document, responses[status]["content"][MEDIA_TYPE]["schema"])
        assert set(schema["required"]) == {"type", "title", "status", "detail", "instance"}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_schema_of_a_request_is_its_contract(document: dict[str, Any], recipe: Recipe) -> None:
    schema = document["components"]["schemas"][f"{recipe.name}.record"]
    assert list(schema["properties"]) == list(recipe.features)
    assert schema["additionalProperties"] is False
    required = [name for name, feature in recipe.features.items() if not feature.optional]
    assert schema["required"] == required


def test_a_feature_is_described_with_bounds_unit_and_fill(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["tree-survival.record"]["properties"]
    assert properties["Species"]["enum"] == list(SURVIVAL.features["Species"].categories)
    assert properties["EMF"] == {
        "title": "EMF",
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 100,
        "default": 0,
        "description": "Unit: % of root tips. When left out, 0 is taken",
    }
    assert properties["Leaves"]["type"] == "integer"
    assert properties["Sterile"]["type"] == "boolean"


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))


def test_nothing_of_the_frameworks_own_errors_is_left(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)


def test_a_service_without_models_still_has_a_document(tmp_path: Path, serve: Serve) -> None:
    paths = serve(tmp_path).get("/openapi.json").json()["paths"]
    assert [path for path in paths if path.endswith("predict")] == []
