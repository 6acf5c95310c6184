"""One record in, its prediction out: for the default model, and for any model by name."""

from uuid import uuid4

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.responses import Response

from api.deps import CatalogueDep, JsonBody
from api.predictor import Predictor

# Hidden from FastAPI's document: api.openapi describes them once per model, with its own schema.
router = APIRouter(prefix="/v1", include_in_schema=False)


@router.post("/predict")
async def predict_by_default(catalogue: CatalogueDep, body: JsonBody) -> Response:
    """Predict with the default model."""
    return answered(catalogue.default(), body=body, prediction_id=uuid4().hex)


@router.post("/models/{model}/predict")
async def predict(model: str, catalogue: CatalogueDep, body: JsonBody) -> Response:
    """Predict with the model of that name."""
    return answered(catalogue.predictor(model), body=body, prediction_id=uuid4().hex)


def answered(predictor: Predictor, *, body: bytes, prediction_id: str) -> Response:
    """Return the answer to one record. It is computed here and now: a thread would cost more."""
    answer = predictor.predict(predictor.parse(body))
    return Response(
        to_json(predictor.signed(answer, prediction_id=prediction_id)),
        media_type="application/json",
    )
