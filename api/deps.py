"""What routes ask for by type: the catalogue, as the last change of any process left it."""

from typing import Annotated

from fastapi import Depends, Request

from api.catalogue.entries import Catalogue


async def fresh(request: Request) -> None:
    """Wait until the model that a path names is up to date."""
    if (name := request.path_params.get("model")) is not None:
        await request.app.state.freshness.model(name)


async def catalogue(request: Request) -> Catalogue:
    """Return the models; the one that the path names, or else each of them, is up to date."""
    if "model" in request.path_params:
        await fresh(request)
    else:
        await request.app.state.freshness.everything()
    return models(request)


async def catalogue_of_default(request: Request) -> Catalogue:
    """Return the models, of which the default one is up to date."""
    if (name := models(request).default_name) is not None:
        await request.app.state.freshness.model(name)
    return models(request)


async def catalogue_soon(request: Request) -> Catalogue:
    """Return the models, up to date unless that takes long, for whoever must have an answer."""
    await request.app.state.freshness.soon()
    return models(request)


def models(request: Request) -> Catalogue:
    """Return the models that this application serves."""
    found: Catalogue = request.app.state.catalogue
    return found


CatalogueDep = Annotated[Catalogue, Depends(catalogue)]
DefaultDep = Annotated[Catalogue, Depends(catalogue_of_default)]
SoonDep = Annotated[Catalogue, Depends(catalogue_soon)]
Fresh = Depends(fresh)
