"""Around every request: an id, headers, a count; and an answer when something unforeseen fails."""

from collections.abc import Callable, Collection
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.ids import REQUEST_ID, given_id, new_id
from api.problems import unforeseen
from api.telemetry.logs import about
from api.telemetry.metrics import OTHER, Metrics

# A browser that is shown an answer shall do nothing with it; pages say themselves what they need.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
NO_STORE = (b"cache-control", b"no-store")
VALIDATOR = b"etag"  # what has one is a file of a package, the same for everybody


class RequestMiddleware:
    """Surrounds what FastAPI answers."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with more headers; answer 500 on a failure."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = given_id(scope) or new_id()
        about(scope, request_id=request_id)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = completed(message.get("headers", ()), request_id=request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            answer = unforeseen(scope["method"], scope["path"], request_id=request_id)
            if status:  # half an answer is out: only closing the connection tells the caller
                status = 500
                raise
            await answer(scope, receive, send_with_headers)
        finally:
            # Nothing was sent to a caller that has gone before; 499 is nginx's word for it.
            seconds = perf_counter() - began
            self._metrics.request(route_of(scope), scope["method"], status or 499, seconds)


class HeadMiddleware:
    """Answers HEAD wherever GET is answered: with the same headers, and without the body."""

    def __init__(self, app: ASGIApp, *, methods: Callable[[Scope], Collection[str]]) -> None:
        """Take what tells the methods with which the path of a request is served."""
        self._app = app
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as one with GET where only that is served."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        methods = self._methods(scope)
        if "HEAD" in methods or "GET" not in methods:
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message.get("body") else message)

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_without_body)
        finally:
            scope["route"] = asked.get("route")  # which the metrics name


def completed(headers: list[tuple[bytes, bytes]], *, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer, with those that every answer has."""
    given = {name.lower() for name, _ in headers}
    added = [each for each in HEADERS if each[0] not in given]
    if given.isdisjoint((NO_STORE[0], VALIDATOR)):
        added.append(NO_STORE)
    kept = [each for each in headers if each[0].lower() != REQUEST_ID]
    return [*kept, *added, (REQUEST_ID, request_id.encode())]


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, such as `/v1/models/{model}`."""
    found: str = getattr(scope.get("route"), "path", OTHER)
    return found
