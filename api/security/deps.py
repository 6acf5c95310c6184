"""What a route names among its `dependencies` to be reached with a key only."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key that the operator gave you", auto_error=False
)
HEADER = APIKeyHeader(
    name="X-API-Key", scheme_name="header", description="The same, elsewhere", auto_error=False
)


async def key_required(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    header: Annotated[str | None, Depends(HEADER)],
) -> None:
    """Let in who has a key; `bearer` and `header` are there for the OpenAPI document.

    Raises KeyRequiredError, NoKeysError and TooManyRequestsError.
    """
    request.app.state.guard.change(request.scope)


async def prediction_key(request: Request) -> None:
    """Let in who may have predictions: everybody, unless a setting says otherwise.

    Raises KeyRequiredError, NoKeysError and TooManyRequestsError.
    """
    request.app.state.guard.prediction(request.scope)


KeyRequired = Depends(key_required)
PredictionKey = Depends(prediction_key)
