"""What a route names among its `dependencies` to be reached with a key only."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import (
    APIKeyHeader,
    HTTPAuthorizationCredentials,
    HTTPBearer,
    SecurityScopes,
)

from api.security.keyring import READ, WRITE

BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key that the operator gave you", auto_error=False
)
HEADER = APIKeyHeader(
    name="X-API-Key", scheme_name="header", description="The same, elsewhere", auto_error=False
)


async def key_required(
    request: Request,
    scopes: SecurityScopes,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    header: Annotated[str | None, Depends(HEADER)],
) -> None:
    """Let in who has a key with the scopes that the route declares.

    `bearer` and `header` are there for the OpenAPI document, which names the scopes too. Raises
    KeyRequiredError, NoKeysError, ScopeMissingError and TooManyRequestsError.
    """
    for wanted in scopes.scopes:
        request.app.state.guard.require(request.scope, wanted)


async def prediction_key(request: Request) -> None:
    """Let in who may have predictions: everybody, unless a setting says otherwise.

    Raises KeyRequiredError, NoKeysError, ScopeMissingError and TooManyRequestsError.
    """
    request.app.state.guard.prediction(request.scope)


KeyRequired = Security(key_required, scopes=[WRITE])
"""For what changes something: the scope `write`."""

ReadKey = Security(key_required, scopes=[READ])
"""For what exports what others have asked: the scope `read`."""

PredictionKey = Depends(prediction_key)
