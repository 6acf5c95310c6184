"""The id of a request: taken over from the caller where it is safe to repeat, else a new one."""

import re
from uuid import uuid4

from starlette.types import Scope

REQUEST_ID = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # what is safe to repeat in headers and logs
TRACEPARENT = b"traceparent"
# W3C Trace Context: version, trace, parent, flags; neither may be all zeros, nor the version ff.
TRACE = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
TRACE_ID = "treeline.trace_id"  # where in a scope a trace that was begun here is noted


def given_id(scope: Scope) -> str | None:
    """Return the id that came with a request, or else that of its trace, if safe to repeat."""
    traced = None
    for name, value in scope["headers"]:
        if name == REQUEST_ID and SANE.fullmatch(value):
            given: str = value.decode()
            return given
        if name == TRACEPARENT:
            traced = TRACE.match(value)
    return None if traced is None else traced[1].decode()


def trace_id(scope: Scope) -> str | None:
    """Return the id of the trace a request belongs to, if it belongs to one."""
    begun: str | None = scope.get(TRACE_ID)
    if begun is not None:
        return begun
    for name, value in scope["headers"]:
        if name == TRACEPARENT and (match := TRACE.match(value)) is not None:
            given: str = match[1].decode()
            return given
    return None


def new_id(tag: str = "") -> str:
    """Return an id that no other request or prediction has; that of a prediction has a tag first.

    By the tag, of few digits, a truth is held against the classes of the model that predicted.
    """
    return tag + uuid4().hex[len(tag) :]
