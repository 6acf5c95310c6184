"""Predictions as routes: asked for what `api.prediction` leaves, such as tensors."""

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.catalogue.entries import DEFAULT_PATH, PATH
from api.services import Services


class PredictionRoute:
    """The ASGI application behind a path that predicts, with or without the name of a model."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises ArtifactNotFoundError and ArtifactRejectedError."""
        services: Services = scope["app"].services
        name, models = scope["path_params"].get("model"), services.catalogue
        if name is None and models.default_name is None:
            await services.freshness.everything()  # it may have come meanwhile
        name = name or models.default_name
        if name is None:
            raise models.no_default()
        await services.freshness.model(name)
        known = models.entry(name)
        if known.tensor is not None:
            await services.tensor_endpoint.answer(known, scope, receive, send)
            return
        predictor = models.predictor(name)
        with services.load.returned():  # it takes a slot when the record is there
            await services.record_endpoint.answer(predictor, scope, receive, send)


def install(app: FastAPI) -> None:
    """Add both routes; `api.openapi` describes them once per model, with its own schema."""
    route = PredictionRoute()
    for path in (DEFAULT_PATH, PATH):
        app.router.routes.append(Route(path, route, methods=["POST"], include_in_schema=False))
