"""Every request → what answers it: a prediction by its path, all else FastAPI."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from api.security.load import turn_away
from api.services import Part, Services


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
            if predictor is not None and services.freshness.current(apart=predictor.apart):
                # which takes its slot when its record is there
                await services.record_endpoint.answer(predictor, scope, receive, send)
                return
        load.under_way += 1
        try:
            if self.openapi_url is not None and scope["path"].endswith(self.openapi_url):
                await services.freshness.everything()  # its route is FastAPI's own
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
