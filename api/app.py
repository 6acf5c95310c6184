"""The application: settings become a catalogue, routes, problems and pages.

`Service` answers one record on a path of its own, before FastAPI; FastAPI answers everything else.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from api.http import problems
from api.http.load import turn_away
from api.middleware import HeadMiddleware, RequestMiddleware, Surroundings
from api.routes import feedback, jobs, models, pages, predict, predictions, registry, system, v2
from api.routes.openapi import documenting, operation_id
from api.services import Part, Services
from api.settings import Settings
from treeline import __version__


class Service(FastAPI):
    """FastAPI, but for what asks a ready model for a prediction: that is answered before it."""

    services: Services
    around: ASGIApp | None = None
    """What surrounds `inside` where a setting asks for it; everything passes through it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await (self.around or self.inside)(scope, receive, send)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction by its path; turn a request away when too many are under way."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        services = self.services
        load = services.load
        if load.full(scope["path"]):
            services.metrics.busy()
            await turn_away(load, scope, receive, send)
            return
        if scope["method"] == "POST":
            predictor = services.catalogue.by_path.get(scope["path"])
            if predictor is not None and services.watcher.current(apart=predictor.apart):
                # which takes its slot when its record is there
                await services.record_endpoint.answer(predictor, scope, receive, send)
                return
        load.under_way += 1
        try:
            if self.openapi_url is not None and scope["path"].endswith(self.openapi_url):
                await services.watcher.everything()  # its route is FastAPI's own
            await super().__call__(scope, receive, send)
        finally:
            load.under_way -= 1
            services.bodies.release(scope)


def running(parts: Iterable[Part]) -> Lifespan[FastAPI]:
    """Return what runs beside the requests: each part is entered at the start and left at the end.

    They end in the opposite order.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in parts:
                await stack.enter_async_context(part())
            yield

    return lifespan


DESCRIPTION = """Models shipped from git, each behind the contract it was trained on.

A request is checked against the signature of its model: names, types, categories and bounds.
What is refused is answered as `application/problem+json` and lists everything that is wrong.
Every answer carries an `X-Request-ID`; one that you send is taken over."""

ROUTERS = tuple(
    routes.router for routes in (predict, models, system, pages, feedback, predictions, v2)
)


def create_app(settings: Settings | None = None) -> Service:
    """Return an application over the models below `settings.served_dir`, which it loads.

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
        redirect_slashes=False,  # Starlette's redirect repeats the Host: see api.http.problems
        lifespan=running(parts),
        generate_unique_id_function=operation_id,
    )
    app.services = services = Services.of(settings)
    around = Surroundings(app.inside, settings, catalogue=services.catalogue)
    app.around = around.app
    parts += services.parts(around.running)
    routers = (
        *ROUTERS,
        *((registry.router,) if settings.registry else ()),
        *((jobs.router,) if settings.jobs else ()),
    )
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
