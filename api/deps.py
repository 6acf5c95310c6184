"""What routes ask for by type: the catalogue, the settings, a body read within its limit."""

from typing import Annotated

from fastapi import Depends, Request

from api.catalogue import Catalogue
from api.errors import BodyTooLargeError, UnsupportedMediaTypeError
from api.settings import Settings


async def catalogue(request: Request) -> Catalogue:
    """Return the models that this application serves."""
    found: Catalogue = request.app.state.catalogue
    return found


async def settings(request: Request) -> Settings:
    """Return the settings that this application was made with."""
    found: Settings = request.app.state.settings
    return found


CatalogueDep = Annotated[Catalogue, Depends(catalogue)]
SettingsDep = Annotated[Settings, Depends(settings)]


async def json_body(request: Request, settings: SettingsDep) -> bytes:
    """Read a JSON body as bytes; raises UnsupportedMediaTypeError and BodyTooLargeError.

    A body that says it is too large is refused unread, one that does not say so as soon as it is.
    """
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the record as application/json."
        )
    limit = settings.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def too_large(limit: int) -> BodyTooLargeError:
    """Return the error for a body above the limit, in bytes."""
    return BodyTooLargeError(
        f"The body is larger than {limit} bytes; send less, or raise API_MAX_BODY_BYTES."
    )


JsonBody = Annotated[bytes, Depends(json_body)]
