"""Around every request: an id for its answer, and an answer when something unforeseen fails."""

import logging
import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import plain, respond

REQUEST_ID = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # what is safe to repeat in headers and logs

logger = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Take over or make a request id; answer 500 and log when the application fails."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the id in its headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            name = request_id.decode()
            logger.exception("%s %s failed, request %s", scope["method"], scope["path"], name)
            if started:  # half an answer is out: only closing the connection tells the caller
                raise
            detail = f"The service failed; its log says why, under request {name}."
            answer = respond(plain(500, detail=detail, instance=scope["path"]))
            await answer(scope, receive, send_with_id)


def _id_of(scope: Scope) -> bytes:
    """Return the id that came with a request if it is safe to repeat, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and SANE_ID.fullmatch(value):
            given: bytes = value
            return given
    return uuid4().hex.encode()
