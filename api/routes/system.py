"""What supervisors ask: does the process answer, and can it serve everything it should?"""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.deps import CatalogueDep
from api.errors import NotReadyError

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """Every model is loaded: its version by its name."""

    status: str = "ready"
    models: dict[str, str]
    refused: dict[str, str] = Field(
        default={},
        description="Models whose new artifact on disk is refused, and why: the former serves on",
    )


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Answers as long as the process does; says nothing of the models."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Is every model served?")
async def readyz(catalogue: CatalogueDep) -> Readiness:
    """200 when there is a model and all are loaded; else 503 and the reasons."""
    if missing := catalogue.shortcomings():
        raise NotReadyError(missing)
    served = [entry.predictor for entry in catalogue.entries() if entry.predictor]
    versions = {predictor.signature.name: predictor.signature.version for predictor in served}
    return Readiness(models=versions, refused=catalogue.refusals())
