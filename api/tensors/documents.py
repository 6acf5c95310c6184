"""A tensor model → its operation in the OpenAPI document: the schema of its values."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from api.bodies import MULTIPART
from api.catalogue.entries import Entry
from api.tensors.graph import STRING, TensorModel, TensorSpec
from api.tensors.images import MEDIA_TYPES
from api.tensors.values import VALUES, bounds, described, integral

Json = dict[str, Any]
FAILS = (400, 413, 415, 422, 500)


def operation(
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
    answer = {"application/json": {"schema": answer_schema(entry.name, outputs)}}
    return {
        "tags": ["predict"],
        "operationId": f"predict_{entry.name}",
        "summary": f"Compute {', '.join(spec.name for spec in outputs)} with {entry.name}",
        "description": (entry.upload and entry.upload.description) or "",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "What the graph computed", "content": answer},
            **failures(FAILS),
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


def answer_schema(name: str, outputs: Sequence[TensorSpec]) -> Json:
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
    found = element_schema(spec)
    if spec.shape is None:
        return {"anyOf": [found, {"type": "array", "items": {}}], "description": described(spec)}
    for size in reversed(spec.shape):
        fixed = {} if size is None else {"minItems": size, "maxItems": size}
        found = {"type": "array", "items": found, **fixed}
    return found | {"description": described(spec)}


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
