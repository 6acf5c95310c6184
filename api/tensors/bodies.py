"""A request → its body within a limit: as bytes, as chunks, or as the parts of a form."""

from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from api.errors import BodyTooLargeError, MalformedBodyError

MULTIPART = "multipart/form-data"


def media_type(request: Request) -> str:
    """Return the Content-Type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def limited(request: Request, most: int, *, setting: str) -> Request:
    """Return a request whose body ends with BodyTooLargeError when it is longer than `most`."""
    error = too_large(most, setting=setting)
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise error
    length = 0

    async def receive() -> Message:
        nonlocal length
        message = await request.receive()
        length += len(message.get("body", b""))
        if length > most:
            raise error
        return message

    return Request(request.scope, receive)


def too_large(most: int, *, setting: str) -> BodyTooLargeError:
    """Return the error for a body of more than `most` bytes, which a setting allows."""
    return BodyTooLargeError(
        f"The body is larger than {most} bytes; send less, or raise {setting}."
    )


async def whole(request: Request) -> bytes:
    """Return the body; raises MalformedBodyError when the caller goes before its end."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise gone() from error


def gone() -> MalformedBodyError:
    """Return the error for a caller that has gone; nobody reads the answer."""
    return MalformedBodyError("The body ended before it was whole.")


async def part(request: Request, name: str) -> bytes:
    """Return the file `name` of a form; raises MalformedBodyError."""
    try:
        async with request.form(max_files=1, max_fields=1) as form:
            found = form.get(name)
            if found is None or isinstance(found, str):
                raise MalformedBodyError(f"The form has no file named {name!r}; send one.")
            return await found.read()
    except MultiPartException as error:
        raise MalformedBodyError(f"The form cannot be read: {error.message}") from error
    except ClientDisconnect as error:
        raise gone() from error
