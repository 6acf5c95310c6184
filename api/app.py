"""Settings → the application: catalogue, routes, problems and pages, put together."""

from fastapi import FastAPI

from api import problems
from api.batch.drafts import Drafts
from api.batch.pool import Pools
from api.bodies import Bodies
from api.catalogue.generation import Generation
from api.catalogue.swapping import Swapping, watching
from api.catalogue.unloading import Unloading
from api.middleware import HeadMiddleware, RequestMiddleware
from api.openapi import documenting, operation_id
from api.predicting import Predicting
from api.prediction_log.log import PredictionLog, recording
from api.protocol.messages import Question
from api.protocol.tensors import Tensor
from api.reading import Reading
from api.registry.following import Following
from api.registry.versions import Versions
from api.routes import (
    batch,
    feedback,
    models,
    pages,
    predict,
    predictions,
    registry,
    system,
    v2,
)
from api.security.guard import Guard
from api.security.load import Load
from api.service import Part, Service, running
from api.settings import Settings
from api.telemetry.around import Around
from api.telemetry.metrics import Metrics, keeping_fresh
from api.tensors.apart import Graphs
from api.uploads import changing as uploading
from treeline import __version__
from treeline.artifact.store import ArtifactStore

DESCRIPTION = """Models shipped from git, each behind the contract it was trained on.

A request is checked against the signature of its model: names, types, categories and bounds.
What is refused is answered as `application/problem+json` and lists everything that is wrong.
Every answer carries an `X-Request-ID`; one that you send is taken over."""

ROUTERS = tuple(
    routes.router for routes in (batch, models, system, pages, feedback, predictions, v2)
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return an application over the models below `settings.model_dir`, which it loads.

    Models that cannot be loaded are told by `/readyz`. Settings are read from the environment
    when none are given.
    """
    settings = settings or Settings()
    parts: list[Part] = []
    app = Service(
        title="Treeline",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # the pages of FastAPI fetch their assets from elsewhere: see routes.pages
        redoc_url=None,
        redirect_slashes=False,  # Starlette's redirect repeats the Host: see api.problems
        lifespan=running(parts),
        generate_unique_id_function=operation_id,
    )
    equip(app, settings)
    parts += parts_of(app, settings)
    routers = (*ROUTERS, registry.router) if settings.registry else ROUTERS
    app.add_middleware(
        HeadMiddleware, methods=lambda scope: problems.methods_of(scope, app, routers)
    )
    app.add_middleware(RequestMiddleware, metrics=app.metrics)
    predict.install(app)
    problems.install(app, routers)
    for router in routers:
        app.include_router(router)
    pages.mount_assets(app)
    app.openapi = documenting(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


def equip(app: Service, settings: Settings) -> None:
    """Give an application what its routes work with, under names in its state."""
    state = app.state
    store = ArtifactStore(
        settings.model_dir, admitted=settings.admitted, left_out=settings.leave_out
    )
    state.settings = settings
    state.metrics = app.metrics = Metrics()
    state.swapping = Swapping(
        settings.model_dir, store, default=settings.default_model, told=state.metrics.swap
    )
    state.catalogue = state.swapping.catalogue
    state.graphs = Graphs(settings)
    followed = bool(settings.registry)
    state.registry = (
        Following(settings, state.catalogue, state.metrics.swap, state.graphs) if followed else None
    )
    state.versions = Versions(state.catalogue, state.registry, settings)
    state.unloading = Unloading(
        settings.state_dir / "unloaded",
        state.swapping,
        Generation(settings.state_dir / "changes" / "unloaded"),
        watched=settings.watch_seconds > 0,
    )
    state.guard = Guard(settings)
    state.load = app.load = Load(settings.max_requests, most_streams=settings.max_streams)
    state.bodies = app.bodies = Bodies(settings, app.load)
    state.log = PredictionLog(settings) if settings.prediction_log else None
    state.reading = Reading(settings, Question, Tensor)
    state.batch_pools = Pools.of(settings)
    uploading.install(state)
    app.freshness = state.freshness
    v2.install(app)
    state.predicting = Predicting(
        state.bodies,
        guard=state.guard,
        metrics=state.metrics,
        log=state.log,
    )


def parts_of(app: Service, settings: Settings) -> list[Part]:
    """Return what runs beside the requests; the log is the first to begin, and the last to end."""
    state = app.state
    around = Around(app.inside, settings, catalogue=state.catalogue)
    app.around = around.app
    parts: list[Part] = [lambda: recording(state.log)] if state.log is not None else []
    parts += [
        around.running,
        lambda: keeping_fresh(state.metrics, state),
        lambda: state.batch_pools.running(Drafts(settings.state_dir)),
        state.graphs.running,
        state.freshness.running,
        state.reading.running,
    ]
    if state.registry is not None:
        parts.append(state.registry.running)
    if settings.watch_seconds:
        parts.append(lambda: watching(state.swapping, pause_seconds=settings.watch_seconds))
    return parts
