"""Settings → the application: catalogue, routes, problems and pages, put together."""

from fastapi import FastAPI

from api import problems
from api.batch.drafts import Drafts
from api.batch.pool import Pool, keeping
from api.catalogue.swapping import Swapping, watching
from api.catalogue.unloading import Unloading
from api.middleware import RequestMiddleware
from api.openapi import documenting
from api.predicting import Predicting
from api.prediction_log.log import PredictionLog, recording
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
from api.uploads import changing as uploading
from api.uploads.swapping import sharing
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
        lifespan=running(parts),
    )
    equip(app, settings)
    parts += parts_of(app, settings)
    app.add_middleware(RequestMiddleware, metrics=app.metrics)
    predict.install(app)
    routers = (*ROUTERS, registry.router) if settings.registry else ROUTERS
    problems.install(app, routers)
    for router in routers:
        app.include_router(router)
    pages.mount_assets(app)
    app.openapi = documenting(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


def equip(app: Service, settings: Settings) -> None:
    """Give an application what its routes work with, under names in its state."""
    state = app.state
    store = ArtifactStore(settings.model_dir, admitted=settings.admitted)
    state.settings = settings
    state.metrics = app.metrics = Metrics()
    state.swapping = Swapping(
        settings.model_dir, store, default=settings.default_model, told=state.metrics.swap
    )
    state.catalogue = state.swapping.catalogue
    followed = bool(settings.registry)
    state.registry = Following(settings, state.catalogue, state.metrics.swap) if followed else None
    state.versions = Versions(state.catalogue, state.registry, settings)
    state.unloading = Unloading(settings.state_dir / "unloaded", state.swapping)
    state.guard = Guard(settings)
    state.load = app.load = Load(settings.max_requests)
    state.log = PredictionLog(settings) if settings.prediction_log else None
    state.batch_pool = Pool(settings.batch_processes)
    uploading.install(state)
    v2.install(app)
    state.predicting = Predicting(
        max_body_bytes=settings.max_body_bytes,
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
        state.unloading.watched,
        lambda: keeping(state.batch_pool, Drafts(settings.state_dir)),
        lambda: sharing(state.uploads),
    ]
    if state.registry is not None:
        parts.append(state.registry.running)
    if settings.watch_seconds:
        parts.append(lambda: watching(state.swapping, pause_seconds=settings.watch_seconds))
    return parts
