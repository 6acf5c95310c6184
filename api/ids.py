"""The id of a request: taken over from the caller where it is safe to repeat, else a new one."""

import re
from uuid import uuid4

from starlette.types import Scope

REQUEST_ID = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # what is safe to repeat in headers and logs


def given_id(scope: Scope) -> str | None:
    """Return the id that came with a request, if it is safe to repeat."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and SANE.fullmatch(value):
            given: str = value.decode()
            return given
    return None


def new_id() -> str:
    """Return an id that no other request or prediction has."""
    return uuid4().hex
