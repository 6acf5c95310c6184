"""Around every request: an id for its answer, and an answer when something unforeseen fails."""

import logging
import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import plain, respond

REQUEST_ID = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")  # what is safe to repeat in headers and logs

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
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if SANE_ID.fullmatch(given) else uuid4().hex
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("%s %s failed, request %s", scope["method"], scope["path"], request_id)
            if started:  # half an answer is out: only closing the connection tells the caller
                raise
            detail = f"The service failed; its log says why, under request {request_id}."
            answer = respond(plain(500, detail=detail, instance=scope["path"]))
            await answer(scope, receive, send_with_id)
