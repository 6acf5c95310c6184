"""The Open Inference Protocol v2 and its repository extension: `/v2/…`, for any client of it.

Errors have the protocol's own shape below `/v2`, `{"error": "…"}`: see api.http.problems.
"""

import asyncio
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from api.contract.faults import explain, plain_problem
from api.endpoints import v2
from api.errors import NotReadyError
from api.formats.tensors import refused
from api.formats.v2 import (
    BINARY,
    HEADER_LENGTH,
    JSON,
    Datatype,
    InferenceRequest,
    Message,
    Name,
)
from api.http.bodies import DOCUMENT_BYTES, Limit, read_body
from api.models.catalogue import Catalogue, Entry
from api.routes.deps import CatalogueDep, Fresh, KeyRequired, PredictionKey, SoonDep, services_of
from treeline import __version__
from treeline.contract.problems import listed
from treeline.errors import ArtifactRejectedError

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
    operation = body_of(InferenceRequest, required=True)
    raw = {"type": "string", "format": "binary", "description": "The document, then raw elements"}
    operation["requestBody"]["content"][BINARY] = {"schema": raw}
    length = {
        "name": HEADER_LENGTH,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": "^[0-9]{1,20}$"},
        "description": "Length of the JSON document, where raw elements come behind it",
    }
    return {**operation, "parameters": [length]}


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


Responses = dict[int | str, dict[str, Any]]
FAILS: Responses = {
    status: {"model": ProtocolError, "description": text}
    for status, text in {
        400: "The body cannot be read",
        401: "An API key is required",
        403: "The service has no API keys, or the key lacks the scope",
        404: "There is no such model or version",
        413: "The body is too large",
        415: "The encoding of the body is unknown",
        422: "The input breaks the contract of the model",
        429: "There are too many requests",
        500: "The model gave no usable answer",
        503: "The model, or the service, is not ready",
    }.items()
}
READING: Responses = {status: FAILS[status] for status in (404, 422)}
RAW = {"schema": {"type": "string", "format": "binary"}}
INFERRING = {**FAILS, 200: {"model": InferenceResponse, "content": {BINARY: RAW}}}


router = APIRouter(
    prefix="/v2",
    tags=["open inference protocol"],
    dependencies=[Fresh],
    responses={503: FAILS[503]},
)
Body = TypeVar("Body", bound=BaseModel)
Model = Annotated[str, Path(description="Name of the model")]
Version = Annotated[str, Path(description="Version, as a model is served in it")]


@router.get("", summary="What serves")
async def server() -> ServerMetadata:
    """Name and version of the server, and what it offers of the protocol."""
    return ServerMetadata(name="treeline", version=__version__)


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Live:
    """Answers as long as the process does."""
    return Live()


@router.get("/health/ready", summary="Is every model served?")
async def ready(catalogue: SoonDep) -> Ready:
    """200 when there is a model and all are loaded; else 503 and the reasons."""
    if missing := catalogue.shortcomings():
        raise NotReadyError(missing)
    return Ready()


@router.get(
    "/models/{model}",
    summary="What a model takes and gives",
    response_model_exclude_none=True,
    responses=READING,
)
async def metadata(model: Model, catalogue: CatalogueDep) -> ModelMetadata:
    """The inputs are the features of its signature, or the inputs of its graph."""
    return ModelMetadata.model_validate(served(catalogue, model).metadata())


@router.get(
    "/models/{model}/versions/{version}",
    response_model_exclude_none=True,
    summary="What a version of a model takes and gives",
    responses=READING,
)
async def version_metadata(model: Model, version: Version, request: Request) -> ModelMetadata:
    """The same, of a version that is served or that the registry offers."""
    return ModelMetadata.model_validate((await of_version(request, model, version)).metadata())


@router.get("/models/{model}/ready", summary="Is a model served?", responses=READING)
async def model_ready(model: Model, catalogue: CatalogueDep) -> ModelReady:
    """200 when it answers."""
    return ModelReady(name=served(catalogue, model).name)


@router.get(
    "/models/{model}/versions/{version}/ready",
    summary="Is a version of a model served?",
    responses=READING,
)
async def version_ready(model: Model, version: Version, request: Request) -> ModelReady:
    """200 when that version answers."""
    return ModelReady(name=(await of_version(request, model, version)).name)


@router.post(
    "/models/{model}/infer",
    summary="Predict for tensors",
    responses=INFERRING,
    openapi_extra=infer_operation(),
    dependencies=[PredictionKey],
)
async def infer(model: Model, request: Request, catalogue: CatalogueDep) -> Response:
    """One tensor per feature, one element per row; or the inputs of a graph."""
    return await inferred(served(catalogue, model), request)


@router.post(
    "/models/{model}/versions/{version}/infer",
    summary="Predict for tensors with a version of a model",
    responses=INFERRING,
    openapi_extra=infer_operation(),
    dependencies=[PredictionKey],
)
async def version_infer(model: Model, version: Version, request: Request) -> Response:
    """The same, of a version that is served or that the registry offers."""
    return await inferred(await of_version(request, model, version), request)


@router.post(
    "/repository/index",
    summary="List the models",
    responses={status: FAILS[status] for status in (400, 413, 415, 422)},
    openapi_extra=body_of(IndexRequest, required=False),
)
async def index(request: Request, catalogue: CatalogueDep) -> list[IndexEntry]:
    """Every model, or with `{"ready": true}` those that are served."""
    wanted = await document(request, IndexRequest)
    return [indexed(entry) for entry in catalogue.entries() if entry.ready or not wanted.ready]


@router.post(
    "/repository/models/{model}/load",
    summary="Bring a model up to date, and into service",
    responses=FAILS,
    openapi_extra=body_of(LoadRequest, required=False),
    dependencies=[KeyRequired],
)
async def load(model: Model, request: Request, catalogue: CatalogueDep) -> IndexEntry:
    """Serves what lies on disk now; 503 when that cannot be served."""
    wanted = await document(request, LoadRequest)
    if wanted.parameters:
        names = listed(wanted.parameters)
        raise refused("parameters", f"{names}: not offered; upload with PUT /v1/models/{model}")
    await asyncio.to_thread(services_of(request).unloading.load, model)
    entry = catalogue.entry(model)
    if not entry.ready or entry.refused:
        raise ArtifactRejectedError(entry.refused or entry.reason)
    return indexed(entry)


@router.post(
    "/repository/models/{model}/unload",
    summary="Take a model out of service",
    responses=FAILS,
    openapi_extra=body_of(UnloadRequest, required=False),
    dependencies=[KeyRequired],
)
async def unload(model: Model, request: Request, catalogue: CatalogueDep) -> IndexEntry:
    """Until it is loaded again it answers 503, in every worker and over restarts."""
    await document(request, UnloadRequest)
    await asyncio.to_thread(services_of(request).unloading.unload, model)
    return indexed(catalogue.entry(model))


def served(catalogue: Catalogue, model: str) -> v2.Served:
    """Return what answers; raises ArtifactNotFoundError and ArtifactRejectedError."""
    return v2.served(catalogue.entry(model))


async def of_version(request: Request, model: str, version: str) -> v2.Served:
    """Return what answers for a version; raises what `served` raises, and VersionAwaitedError."""
    return v2.served(await services_of(request).versions.entry(model, version))


async def inferred(model: v2.Served, request: Request) -> Response:
    """Answer an infer request."""
    response: Response = await services_of(request).infer_endpoint.answer(model, request)
    return response


async def document(request: Request, kind: type[Body]) -> Body:
    """Read a small document, which may be left out.

    Raises BodyTooLargeError, MalformedBodyError and InvalidInputError.
    """
    bodies = services_of(request).bodies
    body = await read_body(request, bodies, Limit(min(DOCUMENT_BYTES, bodies.records.most)))
    try:
        return kind.model_validate_json(body.strip() or b"{}")
    except ValidationError as error:
        raise explain(error, plain_problem, what="document") from error


def indexed(entry: Entry) -> IndexEntry:
    """Return what the index of the repository says of a model."""
    return IndexEntry(
        name=entry.name,
        version=entry.version or "",
        state="READY" if entry.ready else "UNAVAILABLE",
        reason=entry.refused or entry.reason,
    )
