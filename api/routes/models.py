"""The catalogue: every model there is, and the whole contract of each."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.catalogue.entries import Catalogue, Entry
from api.deps import CatalogueDep
from treeline.artifact.features import Task
from treeline.artifact.signature import Signature
from treeline.errors import ArtifactRejectedError

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelSummary(BaseModel):
    """One model in a few words; what cannot be read of a broken one is null."""

    name: str
    description: str = ""
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
    """Every exported model, whether it is served or not."""
    return ModelList(models=[summary(entry, catalogue) for entry in catalogue.entries()])


@router.get("/{model}", summary="Read the contract of a model", response_model=Signature)
async def read_model(
    model: Annotated[str, Path(description="Name of the model")], catalogue: CatalogueDep
) -> Response:
    """The whole signature: features, classes, metrics, verdict, lineage, distributions."""
    entry = catalogue.entry(model)
    if entry.signature is None:
        raise ArtifactRejectedError(entry.reason)
    return Response(entry.signature.document(), media_type="application/json")


def summary(entry: Entry, catalogue: Catalogue) -> ModelSummary:
    """Return the few words on one model."""
    found = ModelSummary(
        name=entry.name,
        default=entry.name == catalogue.default_name,
        ready=entry.predictor is not None,
        reason=entry.reason or None,
    )
    if (signature := entry.signature) is None:
        return found
    return found.model_copy(
        update={
            "description": signature.description,
            "task": signature.target.task,
            "target": signature.target.name,
            "version": signature.version,
        }
    )
