"""The catalogue: every model there is, the whole contract of each, and uploads of one's own."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from api.inference.images import ImageInput
from api.models.cards import ClaimedSignature, TensorCard, card_of, claimed, kind_of
from api.models.catalogue import Catalogue, Changes, Entry, Origin
from api.routes.deps import CatalogueDep, KeyRequired, services_of
from treeline.contract.features import Task
from treeline.contract.signature import Signature
from treeline.contract.texts import MOST_CHARACTERS, PATTERN, RULE, is_slug, slug_of
from treeline.errors import ArtifactRejectedError

router = APIRouter(prefix="/v1/models", tags=["models"])

ModelName = Annotated[str, Path(description="Name of the model")]
NAME = {"pattern": PATTERN, "maxLength": MOST_CHARACTERS, "example": "my-model"}


def checked(name: str) -> str:
    """Return a name that a model can have; raises PydanticCustomError for another one."""
    if not is_slug(name):
        text = f"{RULE}, at most {MOST_CHARACTERS} characters; call it {slug_of(name)!r}"
        raise PydanticCustomError("name", "{text}", {"text": text})
    return name


NewName = Annotated[
    str,
    Path(description="Name of the model", json_schema_extra=NAME),
    AfterValidator(checked),
]
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "The ONNX file, under this name or another",
        },
        "description": {"type": "string"},
        "image": {
            "type": "string",
            "description": "JSON of how pictures become the input: "
            + ", ".join(ImageInput.model_fields),
        },
    },
}
MODEL_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": BINARY,
            "application/onnx": BINARY,
            "multipart/form-data": {"schema": FORM},
        },
    }
}
CHANGES = Changes.model_json_schema(ref_template="#/components/schemas/{model}")
CHANGES_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": CHANGES}}}
}


class ModelSummary(BaseModel):
    """One model in a few words; what cannot be read of a broken one is null."""

    name: str
    description: str = ""
    kind: Literal["typed", "tensor", "image"] | None = Field(
        default=None, description="Whether it takes records, values, or pictures too"
    )
    origin: Origin
    task: Task | None = None
    target: str | None = None
    version: str | None = None
    default: bool = Field(description="Whether `/v1/predict` asks this model")
    ready: bool = Field(description="Whether it answers")
    reason: str | None = Field(default=None, description="Why it does not, when it does not")


class ModelList(BaseModel):
    """Every model there is."""

    models: list[ModelSummary]


@router.get("", summary="List the models")
async def list_models(catalogue: CatalogueDep) -> ModelList:
    """Every model, of git, of a registry or uploaded, whether it is served or not."""
    return ModelList(models=[summary(entry, catalogue) for entry in catalogue.entries()])


@router.get(
    "/{model}",
    summary="Read the contract of a model",
    response_model=Signature | ClaimedSignature | TensorCard,
)
async def read_model(model: ModelName, catalogue: CatalogueDep) -> Response:
    """The whole signature: features, classes, metrics, verdict, lineage, distributions.

    A model without a signature shows the inputs and outputs of its graph.
    """
    return Response(card(catalogue.entry(model)), media_type="application/json")


@router.put(
    "/{model}",
    summary="Upload a model",
    dependencies=[KeyRequired],
    response_model=Signature | ClaimedSignature | TensorCard,
    responses={201: {"model": Signature | TensorCard, "description": "It is new, and served"}},
    response_description="It replaced another one, and is served",
    openapi_extra=MODEL_BODY,
)
async def put_model(model: NewName, request: Request, catalogue: CatalogueDep) -> Response:
    """An ONNX file, at once served under this name by all workers.

    With a signature of Treeline inside it takes records, any other one takes values. It is audited
    and tried before it is served; what is refused leaves the former one in its place.
    """
    replaced = await services_of(request).upload_manager.admit(model, request)
    status = HTTPStatus.OK if replaced else HTTPStatus.CREATED
    served = catalogue.find(model) or catalogue.entry(model)  # one that is unloaded has a card too
    return Response(card(served), status, media_type="application/json")


@router.patch(
    "/{model}",
    summary="Describe an uploaded model",
    dependencies=[KeyRequired],
    response_model=Signature | ClaimedSignature | TensorCard,
    openapi_extra=CHANGES_BODY,
)
async def patch_model(model: ModelName, request: Request, catalogue: CatalogueDep) -> Response:
    """Its description, and how pictures become its input; what is left out stays."""
    await services_of(request).upload_manager.describe(model, request)
    return Response(card(catalogue.entry(model)), media_type="application/json")


@router.delete(
    "/{model}",
    summary="Delete an uploaded model",
    dependencies=[KeyRequired],
    status_code=HTTPStatus.NO_CONTENT,
)
async def delete_model(model: ModelName, request: Request) -> None:
    """Served no more by any worker; requests under way are still answered."""
    await services_of(request).upload_manager.remove(model)
    await asyncio.to_thread(services_of(request).unloading.forget, model)


def card(entry: Entry) -> str:
    """Return the JSON of all that is known of a model; raises ArtifactRejectedError."""
    if entry.tensor is not None:
        return card_of(entry, entry.tensor).model_dump_json(indent=2) + "\n"
    if entry.signature is None:
        raise ArtifactRejectedError(entry.reason)
    return claimed(entry, entry.signature)


def summary(entry: Entry, catalogue: Catalogue) -> ModelSummary:
    """Return the few words on one model."""
    summary = ModelSummary(
        name=entry.name,
        description=(entry.upload and entry.upload.description) or "",
        kind=kind_of(entry),
        origin=entry.origin,
        version=entry.version,
        default=entry.name == catalogue.default_name,
        ready=entry.ready,
        reason=entry.reason or None,
    )
    if (signature := entry.signature) is None:
        return summary
    return summary.model_copy(
        update={
            "description": signature.description,
            "task": signature.target.task,
            "target": signature.target.name,
        }
    )
