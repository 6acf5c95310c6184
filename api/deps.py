"""What routes ask for by type: the catalogue."""

from typing import Annotated

from fastapi import Depends, Request

from api.catalogue.entries import Catalogue


async def catalogue(request: Request) -> Catalogue:
    """Return the models that this application serves."""
    found: Catalogue = request.app.state.catalogue
    return found


CatalogueDep = Annotated[Catalogue, Depends(catalogue)]
