"""Predictions as routes: asked for what `api.predicting` leaves, such as a model there is not."""

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.catalogue import DEFAULT_PATH, PATH, Catalogue
from api.predicting import Predicting


class PredictionRoute:
    """The ASGI application behind a path that predicts, with or without the name of a model."""

    def __init__(self, catalogue: Catalogue, predicting: Predicting) -> None:
        self._catalogue = catalogue
        self._predicting = predicting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises ArtifactNotFoundError and ArtifactRejectedError."""
        name = scope["path_params"].get("model")
        predictor = self._catalogue.default() if name is None else self._catalogue.predictor(name)
        await self._predicting.answer(predictor, scope, receive, send)


def install(app: FastAPI, predicting: Predicting) -> None:
    """Add both routes; `api.openapi` describes them once per model, with its own schema."""
    route = PredictionRoute(app.state.catalogue, predicting)
    for path in (DEFAULT_PATH, PATH):
        app.router.routes.append(Route(path, route, methods=["POST"], include_in_schema=False))
