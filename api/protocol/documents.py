"""The protocol's documents besides tensors, as the OpenAPI page shows them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.protocol.messages import (
    BINARY,
    HEADER_LENGTH,
    JSON,
    Datatype,
    InferenceRequest,
    Message,
    Name,
)

Json = dict[str, Any]
EXTENSIONS = ["binary_tensor_data", "model_repository"]


class ProtocolError(BaseModel):
    """Why a request was not answered."""

    error: str


class ServerMetadata(BaseModel):
    """What serves."""

    name: str
    version: str
    extensions: list[str] = EXTENSIONS


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Ready(BaseModel):
    """Every model is served."""

    ready: bool = True


class ModelReady(Ready):
    """One model is served."""

    name: str


class TensorMetadata(BaseModel):
    """One input or output of a model; -1 is a dimension of any size."""

    name: Name
    datatype: Datatype
    shape: list[int]
    parameters: Json | None = Field(
        default=None, description="Of an input, what it admits; of an output, the classes"
    )


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class AnsweredTensor(BaseModel):
    """One output, with `data`, or with its size in the bytes behind the document."""

    name: Name
    datatype: Datatype
    shape: list[int]
    data: list[Any] | None = None
    parameters: Json | None = None


class InferenceResponse(BaseModel):
    """The document of the answer to an infer request."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: Json | None = None
    outputs: list[AnsweredTensor]


class IndexRequest(Message):
    """Which models to list."""

    ready: bool = Field(default=False, description="Only those that are served")


class IndexEntry(BaseModel):
    """A model of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class UnloadRequest(Message):
    """How to unload a model: whatever is said, there is one way."""

    parameters: Json = {}


class LoadRequest(Message):
    """How to load a model: no files and no configuration of the request's own."""

    parameters: Json = Field(default={}, json_schema_extra={"maxProperties": 0})


def body_of(model: type[BaseModel], *, required: bool) -> Json:
    """Return what describes the JSON body of a request that the route reads itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.pop("$defs", {})
    content = {JSON: {"schema": _inlined(schema, parts)}}
    return {"requestBody": {"required": required, "content": content}}


def infer_operation() -> Json:
    """Return what describes the bodies of infer requests, and the header they come with."""
    found = body_of(InferenceRequest, required=True)
    raw = {"type": "string", "format": "binary", "description": "The document, then raw elements"}
    found["requestBody"]["content"][BINARY] = {"schema": raw}
    length = {
        "name": HEADER_LENGTH,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": "^[0-9]{1,20}$"},
        "description": "Length of the JSON document, where raw elements come behind it",
    }
    return {**found, "parameters": [length]}


def _inlined(schema: Any, parts: Json) -> Any:
    """Return a schema with the parts it refers to in their places; none refers to itself."""
    if isinstance(schema, list):
        return [_inlined(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _inlined({**parts[name], **{k: v for k, v in schema.items() if k != "$ref"}}, parts)
    return {key: _inlined(value, parts) for key, value in schema.items()}
