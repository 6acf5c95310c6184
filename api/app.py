"""Settings → the application: catalogue, routes, problems and pages, put together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.types import Lifespan, Receive, Scope, Send

from api import problems
from api.catalogue.swapping import Swapping
from api.middleware import RequestIdMiddleware
from api.openapi import documenting
from api.prediction.answering import Predicting
from api.routes import models, pages, predict, system
from api.settings import Settings
from treeline import __version__
from treeline.artifact.store import ArtifactStore

DESCRIPTION = """Models shipped from git, each behind the contract it was trained on.

A request is checked against the signature of its model: names, types, categories and bounds.
What is refused is answered as `application/problem+json` and lists everything that is wrong.
Every answer carries an `X-Request-ID`; one that you send is taken over."""


class Service(FastAPI):
    """FastAPI, but for what asks a ready model for a prediction: that is answered before it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction by its path, and leave everything else to FastAPI."""
        if scope["type"] == "http" and scope["method"] == "POST":
            predictor = self.state.catalogue.by_path.get(scope["path"])
            if predictor is not None:
                await self.state.predicting.answer(predictor, scope, receive, send)
                return
        await super().__call__(scope, receive, send)


Part = AbstractAsyncContextManager[None]


def running(parts: Iterable[Callable[[], Part]]) -> Lifespan[FastAPI]:
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


@asynccontextmanager
async def watching(swapping: Swapping, *, pause_seconds: float) -> AsyncIterator[None]:
    """Look at the models on disk again and again."""
    watch = asyncio.create_task(swapping.run(pause_seconds=pause_seconds))
    yield
    watch.cancel()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return an application over the models below `settings.model_dir`, which it loads.

    Models that cannot be loaded are told by `/readyz`. Settings are read from the environment
    when none are given.
    """
    settings = settings or Settings()
    admitted = frozenset({"onnx", "pickle"} if settings.allow_pickle else {"onnx"})
    store = ArtifactStore(settings.model_dir, admitted=admitted)
    swapping = Swapping(settings.model_dir, store, default=settings.default_model)
    parts: list[Callable[[], Part]] = []
    if settings.watch_seconds:
        parts.append(lambda: watching(swapping, pause_seconds=settings.watch_seconds))
    app = Service(
        title="Treeline",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # the pages of FastAPI fetch their assets from elsewhere: see routes.pages
        redoc_url=None,
        lifespan=running(parts),
    )
    app.state.settings = settings
    app.state.catalogue = swapping.catalogue
    app.state.predicting = Predicting(max_body_bytes=settings.max_body_bytes)
    app.add_middleware(RequestIdMiddleware)
    predict.install(app)
    problems.install(app)
    for routes in (models, system, pages):
        app.include_router(routes.router)
    pages.mount_assets(app)
    app.openapi = documenting(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app
