"""Catalogue → OpenAPI 3.1: each model's own request, answer and example, from its signature.

Routing stays generic (`/v1/models/{model}/predict`), so that models can come and go; the document
names each concrete path, because that is what has one schema.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic_core import to_jsonable_python

from api.catalogue.entries import DEFAULT_PATH, PATH, Catalogue
from api.contract.examples import example_record
from api.contract.extras import CHOICES, EXTRA, IGNORED, IGNORED_SCHEMA, REFUSE
from api.contract.schemas import answer_schema, record_schema
from api.errors import STATUS
from api.prediction.predictor import Predictor
from api.problems import MEDIA_TYPE, ProblemDocument
from api.security.documenting import describe as describe_access
from api.services import Services
from api.tensors.documents import operation as tensor_operation

Json = dict[str, Any]
SCHEMAS = "#/components/schemas/"
EXAMPLE_ID = "0123456789abcdef0123456789abcdef"
EXTRA_PARAMETER: Json = {
    "name": EXTRA,
    "in": "query",
    "required": False,
    "description": "What becomes of keys that are no features: refused, ignored, or (auto) ignored "
    "where every feature is there, optional ones too",
    "schema": {"type": "string", "enum": list(CHOICES), "default": REFUSE},
}
PREDICTION_FAILS = (400, 413, 415, 422)
FAILS = {
    ("/v1/models/{model}", "get"): (404, 503),
    ("/v1/models/{model}", "put"): (400, 409, 413, 415, 422, 503),
    ("/v1/models/{model}", "patch"): (400, 404, 409, 413, 415, 422, 503),
    ("/v1/models/{model}", "delete"): (404, 409, 503),
    ("/readyz", "get"): (503,),
}
REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Your id of the request, which its answer carries: up to 128 letters, digits "
    "and `._:/+=@-`; another one is replaced",
}
TAGS = (
    {"name": "predict", "description": "One record in, its prediction out."},
    {"name": "models", "description": "What is served, and the contract of each model."},
    {"name": "log", "description": "What was predicted, and what proved to be true."},
    {"name": "open inference protocol", "description": "Tensors in, tensors out, for any client."},
    {"name": "system", "description": "For supervisors and load balancers."},
)


def documenting(app: FastAPI, services: Services) -> Callable[[], Json]:
    """Return what FastAPI calls for the document; made anew each time, as models come and go."""

    def document() -> Json:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=list(TAGS),
        )
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):  # api.problems answers instead
            schemas.pop(unused, None)
        problem = ProblemDocument.model_json_schema(ref_template=SCHEMAS + "{model}")
        schemas |= problem.pop("$defs") | {"Problem": problem}
        for (path, method), statuses in FAILS.items():
            responses = found["paths"][path][method]["responses"]
            responses.pop("422", None)
            responses |= failures(statuses)
        found["paths"] = prediction_paths(services.catalogue, schemas) | found["paths"]
        for each in [each for item in found["paths"].values() for each in item.values()]:
            if "requestBody" in each:
                schemas |= definitions(each["requestBody"])
                each["parameters"] = [*each.get("parameters", []), REQUEST_ID]
        describe_access(found, services.settings, failures=failures)
        return found

    return document


def operation_id(route: APIRoute) -> str:
    """Return what generated clients call an operation, which no model can be called."""
    return f"v2_{route.name}" if route.path_format.startswith("/v2") else route.name


def definitions(body: Json) -> Json:
    """Take the schemas out of a request body to which it refers by name, and return them."""
    found: Json = {}
    for content in body["content"].values():
        if "$defs" in content["schema"]:
            content["schema"] = dict(content["schema"])
            found |= content["schema"].pop("$defs")
    return found


def prediction_paths(catalogue: Catalogue, schemas: Json) -> Json:
    """Return the paths that predict, and add the schemas they refer to."""
    paths = {}
    for entry in catalogue.entries():
        if entry.tensor is not None:
            described = tensor_operation(entry, entry.tensor, failures)
            paths[PATH.format(model=entry.name)] = {"post": described}
        if (predictor := entry.predictor) is None:
            continue
        schemas[f"{entry.name}.record"] = record_schema(predictor.signature)
        schemas[f"{entry.name}.prediction"] = answer_schema(predictor.signature)
        paths[PATH.format(model=entry.name)] = {"post": operation(predictor)}
        if entry.name == catalogue.default_name:
            paths = {DEFAULT_PATH: {"post": operation(predictor, default=True)}} | paths
    return paths


def operation(predictor: Predictor, *, default: bool = False) -> Json:
    """Return the description of one way to ask a model: by its name, or as the default one."""
    signature = predictor.signature
    example = predictor.signed(predictor.example_answer, prediction_id=EXAMPLE_ID)
    record = {"$ref": f"{SCHEMAS}{signature.name}.record"}
    prediction = {"$ref": f"{SCHEMAS}{signature.name}.prediction"}
    question = {"schema": record, "example": example_record(signature)}
    answer = {"schema": prediction, "example": to_jsonable_python(example)}
    which = "the default model, " if default else ""
    return {
        "tags": ["predict"],
        "operationId": "predict" if default else f"predict_{signature.name}",
        "summary": f"Predict {signature.target.name} with {which}{signature.name}",
        "description": signature.description,
        "parameters": [EXTRA_PARAMETER],
        "requestBody": {"required": True, "content": {"application/json": question}},
        "responses": {
            "200": {
                "description": "The prediction",
                "content": {"application/json": answer},
                "headers": {IGNORED: IGNORED_SCHEMA},
            },
            **failures(PREDICTION_FAILS),
        },
    }


def failures(statuses: tuple[int, ...]) -> Json:
    """Return the description of the problems that come with these statuses."""
    titles: dict[int, list[str]] = {status: [] for status in statuses}
    for kind in STATUS.values():
        titles.get(kind.status, []).append(kind.title)
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    return {
        str(status): {"description": "; or: ".join(named), "content": content}
        for status, named in titles.items()
    }
