"""What the registry offers, and predictions of a version that the caller chooses.

These routes are there where API_REGISTRY is set.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.models.cards import ClaimedSignature, TensorCard
from api.models.catalogue import Entry
from api.models.registry import shelf
from api.routes import predict
from api.routes.deps import Fresh, PredictionKey, services_of
from api.routes.models import card
from api.routes.openapi import EXPLAIN_PARAMETER, EXTRA_PARAMETER, failures
from api.services import Services
from treeline.contract.signature import Signature
from treeline.errors import ArtifactNotFoundError, ArtifactRejectedError

router = APIRouter(dependencies=[PredictionKey, Fresh])

ModelName = Annotated[str, Path(description="Name of the model")]
VersionName = Annotated[
    str,
    Path(
        description="Its number in the registry, our version of 12 digits, or `@` and an alias",
        json_schema_extra={"example": "@champion"},
    ),
]
AWAITED: dict[int | str, Any] = dict(failures((401, 403, 404, 422, 429, 503)).items())
PREDICTING: dict[str, Any] = {
    "response_class": Response,
    "responses": failures((400, 401, 403, 404, 413, 415, 422, 429, 503))
    | {
        "200": {
            "description": "The prediction, as that version words it",
            "content": {
                "application/json": {"schema": {"type": "object", "additionalProperties": True}}
            },
        }
    },
    "openapi_extra": {
        "parameters": [EXTRA_PARAMETER, EXPLAIN_PARAMETER],
        "requestBody": {
            "required": True,
            "description": 'A record of that version, or `{"values": …}` where it takes tensors',
            "content": {
                "application/json": {"schema": {"type": "object", "additionalProperties": True}}
            },
        },
    },
}


class OfferedVersion(BaseModel):
    """One version of a registered model."""

    number: str = Field(description="Its number in the registry")
    version: str | None = Field(description="Ours; known once the version was fetched")
    aliases: tuple[str, ...]
    created: datetime
    status: str = Field(description="As the registry names it")
    description: str
    run: str | None = Field(description="Id of the run that it is of")
    tags: dict[str, str]
    metrics: dict[str, float] = Field(description="Of its run")
    state: Literal["served", "fetched", "offered", "refused"]
    reason: str | None = Field(description="Why it cannot be served, where it was refused")


class OfferedModel(BaseModel):
    """One registered model, the newest versions first."""

    name: str = Field(description="What it is served under")
    registered: str = Field(description="What the registry calls it")
    reference: str | None = Field(description="What is followed; null: nothing of it")
    served: str | None = Field(description="Number of the version that is served")
    problem: str | None = Field(description="Why the version that is named is not the one served")
    description: str
    tags: dict[str, str]
    versions: tuple[OfferedVersion, ...]


class Registry(BaseModel):
    """What the registry offered when it last answered."""

    address: str
    asked: datetime | None = Field(description="When it last answered")
    away: str | None = Field(description="Why it does not answer now, where it does not")
    models: tuple[OfferedModel, ...]


class Delegated(Response):
    """An answer that the model gives itself."""

    def __init__(self, entry: Entry, services: Services) -> None:
        super().__init__()
        self._entry, self._services = entry, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises TreelineError."""
        entry, services = self._entry, self._services
        if entry.tensor is not None:
            await services.tensor_endpoint.answer(entry, scope, receive, send)
        elif entry.predictor is not None:
            await services.record_endpoint.answer(entry.predictor, scope, receive, send)
        else:
            raise ArtifactRejectedError(entry.reason)


@router.get(
    "/v1/registry", tags=["registry"], summary="List what the registry offers", responses=AWAITED
)
async def read_registry(request: Request) -> Registry:
    """Models, versions, aliases, tags and metrics, as the registry told of them last."""
    following = services_of(request).followed
    at = following.shelf.answered_at()
    return Registry(
        address=following.address,
        asked=None if at is None else datetime.fromtimestamp(at, UTC),
        away=following.away() or None,
        models=tuple(offered(model) for model in following.offers.models),
    )


@router.get(
    "/v1/models/{model}/versions/{version}",
    tags=["registry"],
    summary="Read the contract of a version",
    response_model=Signature | ClaimedSignature | TensorCard,
    responses=AWAITED,
)
async def read_version(model: ModelName, version: VersionName, request: Request) -> Response:
    """The signature of a version, which is fetched if it must be."""
    entry: Entry = await services_of(request).versions.entry(model, version)
    return Response(card(entry), media_type="application/json")


@router.post(
    "/v1/models/{model}/versions/{version}/predict",
    tags=["predict"],
    summary="Predict with a version",
    operation_id="version_prediction",
    **PREDICTING,
)
async def predict_version(model: ModelName, version: VersionName, request: Request) -> Response:
    """One record in, the prediction of that version out.

    A version that is not loaded is fetched first; where that takes longer than
    API_REGISTRY_WAIT_SECONDS, the answer is 503 with Retry-After.
    """
    services = services_of(request)
    return Delegated(await services.versions.entry(model, version), services)


@router.post(
    "/v1/models/{model}/versions/{version}/predict/batch",
    tags=["predict"],
    summary="Predict a table with a version",
    operation_id="version_batch",
    **predict.DOCUMENTED,
)
async def predict_batch_of_version(
    model: ModelName,
    version: VersionName,
    request: Request,
    options: predict.OptionsDep,
) -> Response:
    """CSV, JSON, JSON lines, Arrow or Parquet by Content-Type; the same kind back, or by Accept."""
    entry: Entry = await services_of(request).versions.entry(model, version)
    if entry.predictor is None:
        raise ArtifactNotFoundError(f"{model} takes tensors, not records, so no table either.")
    return await predict.answer(request, entry.predictor, options)


def offered(model: shelf.Model) -> OfferedModel:
    """Return what is told of a model."""
    return OfferedModel(
        name=model.name,
        registered=model.registered,
        reference=model.reference or None,
        served=model.served.number if model.served is not None else None,
        problem=model.problem or None,
        description=model.description,
        tags=model.tags,
        versions=tuple(offered_version(version, model) for version in model.versions),
    )


def offered_version(version: shelf.Version, model: shelf.Model) -> OfferedVersion:
    """Return what is told of a version."""
    if model.served is not None and model.served.number == version.number:
        state: Literal["served", "fetched", "offered", "refused"] = "served"
    elif version.artifact is not None:
        state = "fetched"
    else:
        state = "refused" if version.refused else "offered"
    return OfferedVersion(
        state=state,
        reason=version.refused or None,
        **version.model_dump(exclude={"artifact", "refused", "refused_at"}),
    )
