"""The catalogue as OpenAPI 3.1: each model's own request, answer and example.

Routing stays generic (`/v1/models/{model}/predict`), so that models can come and go; the document
names each concrete path, because that is what has one schema. It also says what settings ask for:
keys, rates and refusals.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic_core import to_jsonable_python

from api.contract.schemas import (
    CHOICES,
    EXPLAIN,
    EXTRA,
    IGNORED,
    IGNORED_SCHEMA,
    REFUSE,
    answer_schema,
    example_record,
    record_schema,
)
from api.errors import STATUS
from api.http.keyring import PREDICT
from api.http.load import ALWAYS
from api.http.media_types import MULTIPART
from api.http.problems import MEDIA_TYPE, ProblemDocument
from api.inference.graph import STRING, TensorModel, TensorSpec
from api.inference.images import MEDIA_TYPES
from api.inference.record import Predictor
from api.inference.tensors import VALUES, bounds, described, integral
from api.models.catalogue import DEFAULT_PATH, PATH, Catalogue, Entry
from api.services import Services
from api.settings import Settings

BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key that the operator gave you", auto_error=False
)
HEADER = APIKeyHeader(
    name="X-API-Key", scheme_name="header", description="The same, elsewhere", auto_error=False
)
PREDICTS = ("/predict", "/predict/batch", "/infer")
EITHER = [{scheme.scheme_name: [PREDICT]} for scheme in (BEARER, HEADER)]
SCHEMES = {
    BEARER.scheme_name: BEARER.model.model_dump(mode="json", exclude_none=True, by_alias=True),
    HEADER.scheme_name: HEADER.model.model_dump(mode="json", exclude_none=True, by_alias=True),
}


def describe(
    document: dict[str, Any], settings: Settings, *, failures: Callable[[tuple[int, ...]], Any]
) -> None:
    """Add to every operation of a document what it needs, and how it may be refused."""
    document["components"].setdefault("securitySchemes", {}).update(SCHEMES)
    for path, item in document["paths"].items():
        for operation in item.values():
            predicts = path.endswith(PREDICTS)
            if predicts and not settings.predictions_open:
                operation["security"] = EITHER
            keyed = "security" in operation
            statuses = [401, 403] if keyed else []
            if keyed or (settings.requests_per_second and predicts):
                statuses.append(429)
            if path not in ALWAYS:
                statuses.append(503)
            known = failures(tuple(statuses)) | operation["responses"]
            operation["responses"] = dict(sorted(known.items()))


Json = dict[str, Any]
RUN_FAILS = (400, 413, 415, 422, 500)


def tensor_operation(
    entry: Entry, model: TensorModel, failures: Callable[[tuple[int, ...]], Json]
) -> Json:
    """Return the description of how a tensor model is asked."""
    inputs, outputs = model.inputs, model.outputs
    content: Json = {"application/json": {"schema": question_schema(entry.name, inputs)}}
    if entry.upload is not None and entry.upload.image is not None:
        picture = {"type": "string", "format": "binary"}
        content |= {kind: {"schema": picture} for kind in MEDIA_TYPES}
        part = picture | {"description": "The only file of the form; any other name will do"}
        form = {"type": "object", "required": ["image"], "properties": {"image": part}}
        content[MULTIPART] = {"schema": form}
    answer = {"application/json": {"schema": tensor_answer_schema(entry.name, outputs)}}
    return {
        "tags": ["predict"],
        "operationId": f"predict_{entry.name}",
        "summary": f"Compute {', '.join(spec.name for spec in outputs)} with {entry.name}",
        "description": (entry.upload and entry.upload.description) or "",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "What the graph computed", "content": answer},
            **failures(RUN_FAILS),
        },
    }


def question_schema(name: str, inputs: Sequence[TensorSpec]) -> Json:
    """Return the JSON Schema of a request body."""
    values = by_name(inputs)
    if len(inputs) == 1:
        (only,) = inputs
        values = {"anyOf": [array_schema(only), *row_schemas(only), values]}
    return {
        "title": f"{name} values",
        "type": "object",
        "properties": {VALUES: values},
        "required": [VALUES],
        "additionalProperties": False,
    }


def tensor_answer_schema(name: str, outputs: Sequence[TensorSpec]) -> Json:
    """Return the JSON Schema of an answer. What a graph declares of an output need not be so."""
    several = {spec.name: {"description": described(spec)} for spec in outputs}
    values: Json = {"type": "object", "properties": several, "required": list(several)}
    if len(outputs) == 1:
        values = several[outputs[0].name]
    properties = {
        VALUES: values,
        "id": {"type": "string", "description": "Names this one prediction"},
        "model": {"type": "string", "const": name},
        "version": {"type": "string", "description": "Version of the model that answered"},
    }
    return {
        "title": f"{name} answer",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def by_name(specs: Sequence[TensorSpec]) -> Json:
    """Return the schema of arrays by name."""
    return {
        "type": "object",
        "properties": {spec.name: array_schema(spec) for spec in specs},
        "required": [spec.name for spec in specs],
        "additionalProperties": False,
    }


def array_schema(spec: TensorSpec) -> Json:
    """Return the schema of one array; that its lists are of one length, no schema can say."""
    schema = element_schema(spec)
    if spec.shape is None:
        return {"anyOf": [schema, {"type": "array", "items": {}}], "description": described(spec)}
    for size in reversed(spec.shape):
        fixed = {} if size is None else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **fixed}
    return schema | {"description": described(spec)}


def row_schemas(spec: TensorSpec) -> list[Json]:
    """Return the schema of one row of an input that takes any number of them; else none."""
    if spec.shape is None or len(spec.shape) < 2 or spec.shape[0] is not None:
        return []
    row = array_schema(replace(spec, shape=spec.shape[1:]))
    return [row | {"description": "One row of it"}]


def element_schema(spec: TensorSpec) -> Json:
    """Return the schema of one element."""
    if spec.dtype == STRING:
        return {"type": "string"}
    if spec.dtype == "bool":
        return {"type": "boolean"}
    if integral(spec):
        lowest, highest = bounds(spec)
        return {"type": "integer", "minimum": lowest, "maximum": highest}
    most = float(np.finfo(spec.dtype).max)
    return {"type": ["number", "null"], "minimum": -most, "maximum": most}


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
EXPLAIN_PARAMETER: Json = {
    "name": EXPLAIN,
    "in": "query",
    "required": False,
    "description": "Say what each feature added to the answer, as `explanation`",
    "schema": {"type": "boolean", "default": False},
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
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=list(TAGS),
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in (
            "HTTPValidationError",
            "ValidationError",
        ):  # see api.http.problems
            schemas.pop(unused, None)
        problem = ProblemDocument.model_json_schema(ref_template=SCHEMAS + "{model}")
        schemas |= problem.pop("$defs") | {"Problem": problem}
        for (path, method), statuses in FAILS.items():
            responses = document["paths"][path][method]["responses"]
            responses.pop("422", None)
            responses |= failures(statuses)
        document["paths"] = prediction_paths(services.catalogue, schemas) | document["paths"]
        for each in [each for item in document["paths"].values() for each in item.values()]:
            if "requestBody" in each:
                schemas |= definitions(each["requestBody"])
                each["parameters"] = [*each.get("parameters", []), REQUEST_ID]
        describe(document, services.settings, failures=failures)
        return document

    return document


def operation_id(route: APIRoute) -> str:
    """Return what generated clients call an operation, which no model can be called."""
    return f"v2_{route.name}" if route.path_format.startswith("/v2") else route.name


def definitions(body: Json) -> Json:
    """Take the schemas out of a request body to which it refers by name, and return them."""
    definitions: Json = {}
    for content in body["content"].values():
        if "$defs" in content["schema"]:
            content["schema"] = dict(content["schema"])
            definitions |= content["schema"].pop("$defs")
    return definitions


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
        "parameters": [EXTRA_PARAMETER, EXPLAIN_PARAMETER],
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
