"""What routes ask for by type: services, the log, a key, and models that are up to date."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, SecurityScopes

from api.errors import LogOffError
from api.http.keyring import JOBS, READ, WRITE
from api.jobs.desk import JobDesk
from api.models.catalogue import Catalogue
from api.prediction_log.log import PredictionLog
from api.routes.openapi import BEARER, HEADER
from api.services import Services


def services_of(request: Request) -> Services:
    """Return the services of the application that got a request."""
    services: Services = request.app.services
    return services


async def fresh(request: Request) -> None:
    """Wait until the model that a path names is up to date."""
    if (name := request.path_params.get("model")) is not None:
        await services_of(request).watcher.model(name)


async def catalogue(request: Request) -> Catalogue:
    """Return the models; the one that the path names, or else each of them, is up to date."""
    if "model" in request.path_params:
        await fresh(request)
    else:
        await services_of(request).watcher.everything()
    return models(request)


async def catalogue_of_default(request: Request) -> Catalogue:
    """Return the models, of which the default one is up to date."""
    if (name := models(request).default_name) is not None:
        await services_of(request).watcher.model(name)
    return models(request)


async def catalogue_soon(request: Request) -> Catalogue:
    """Return the models, up to date unless that takes long, for whoever must have an answer."""
    await services_of(request).watcher.soon()
    return models(request)


def models(request: Request) -> Catalogue:
    """Return the models that this application serves."""
    return services_of(request).catalogue


async def log(request: Request) -> PredictionLog:
    """Return the log of this worker; raises LogOffError."""
    if (log := services_of(request).log) is None:
        raise LogOffError("Nothing is recorded here: API_PREDICTION_LOG is off.")
    return log


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
    for scope in scopes.scopes:
        services_of(request).guard.require(request.scope, scope)


async def owner(
    request: Request,
    scopes: SecurityScopes,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    header: Annotated[str | None, Depends(HEADER)],
) -> str:
    """Let in who has a key with the one scope that the route declares; return the key's name.

    Raises KeyRequiredError, NoKeysError, ScopeMissingError and TooManyRequestsError.
    """
    (scope,) = scopes.scopes
    return services_of(request).guard.require(request.scope, scope)


async def desk(request: Request) -> JobDesk:
    """Return the desk of training jobs; its routes are there where it is."""
    return services_of(request).desk


async def prediction_key(request: Request) -> None:
    """Let in who may have predictions: everybody, unless a setting says otherwise.

    Raises KeyRequiredError, NoKeysError, ScopeMissingError and TooManyRequestsError.
    """
    services_of(request).guard.prediction(request.scope)


CatalogueDep = Annotated[Catalogue, Depends(catalogue)]
DefaultDep = Annotated[Catalogue, Depends(catalogue_of_default)]
SoonDep = Annotated[Catalogue, Depends(catalogue_soon)]
Fresh = Depends(fresh)
LogDep = Annotated[PredictionLog, Depends(log)]

KeyRequired = Security(key_required, scopes=[WRITE])
"""For what changes something: the scope `write`."""

ReadKey = Security(key_required, scopes=[READ])
"""For what exports what others have asked: the scope `read`."""

Owner = Annotated[str, Security(owner, scopes=[JOBS])]
"""For what trains: the scope `jobs`; the name of the key."""

DeskDep = Annotated[JobDesk, Depends(desk)]

PredictionKey = Depends(prediction_key)
