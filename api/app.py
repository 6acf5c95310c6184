"""Settings → the application: catalogue, routes, problems and pages, put together."""

from api import problems
from api.middleware import HeadMiddleware, RequestMiddleware
from api.openapi import documenting, operation_id
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
from api.service import Service, running
from api.services import Part, Services
from api.settings import Settings
from api.telemetry.surroundings import Surroundings
from treeline import __version__

DESCRIPTION = """Models shipped from git, each behind the contract it was trained on.

A request is checked against the signature of its model: names, types, categories and bounds.
What is refused is answered as `application/problem+json` and lists everything that is wrong.
Every answer carries an `X-Request-ID`; one that you send is taken over."""

ROUTERS = tuple(
    routes.router for routes in (batch, models, system, pages, feedback, predictions, v2)
)


def create_app(settings: Settings | None = None) -> Service:
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
    app.services = services = Services.of(settings)
    around = Surroundings(app.inside, settings, catalogue=services.catalogue)
    app.around = around.app
    parts += services.parts(around.running)
    routers = (*ROUTERS, registry.router) if settings.registry else ROUTERS
    app.add_middleware(
        HeadMiddleware, methods=lambda scope: problems.methods_of(scope, app, routers)
    )
    app.add_middleware(RequestMiddleware, metrics=services.metrics)
    predict.install(app)
    problems.install(app, routers)
    for router in routers:
        app.include_router(router)
    pages.mount_assets(app)
    app.openapi = documenting(app, services)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app
