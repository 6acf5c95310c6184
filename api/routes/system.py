"""What supervisors ask: does the process answer, and can it serve everything it should?"""

import asyncio

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.errors import NotReadyError
from api.routes.deps import SoonDep, services_of

router = APIRouter(tags=["system"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Runs(BaseModel):
    """What the processes that run uploaded and registered models are at, beside this worker."""

    running: int
    waiting: int
    oldest_seconds: float = Field(description="For how long the oldest has been running")


class Readiness(BaseModel):
    """Every model is loaded: its version by its name."""

    status: str = "ready"
    models: dict[str, str]
    refused: dict[str, str] = Field(
        default={},
        description="Models whose new artifact on disk is refused, and why: the former serves on",
    )
    unloaded: list[str] = Field(default=[], description="Models taken out of service by hand")
    stuck: dict[str, str] = Field(
        default={},
        description="Models of others that rest, as their runs were ended again and again",
    )
    runs: Runs = Field(description="Of such models, apart from this worker")
    registry: str | None = Field(
        default=None, description="Why the registry cannot be asked: what it named is served on"
    )
    store: str | None = Field(
        default=None,
        description="Why models cannot be fetched as their store names them: the former are served",
    )


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Answers as long as the process does; says nothing of the models."""
    return Health()


@router.get("/readyz", summary="Is every model served?")
async def readyz(catalogue: SoonDep, request: Request) -> Readiness:
    """200 when there is a model and all are loaded; else 503 and the reasons."""
    if missing := catalogue.shortcomings():
        raise NotReadyError(missing)
    services = services_of(request)
    following, graphs = services.registry, services.graphs
    state = graphs.state()
    return Readiness(
        models=catalogue.versions(),
        refused=catalogue.refusals(),
        unloaded=catalogue.unloaded(),
        stuck=graphs.stuck(),
        runs=Runs(
            running=state.running,
            waiting=state.waiting,
            oldest_seconds=round(state.oldest_seconds, 3),
        ),
        registry=None if following is None else following.away() or None,
        store=services.store_away() or None,
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """What Prometheus reads; for the inside, so a balancer should not pass it on."""
    services = services_of(request)
    services.refresh_metrics()
    body = await asyncio.to_thread(services.metrics.exposed)
    return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)
