"""What surrounds every request: an id, headers, a count, and an answer to unforeseen errors.

CORS, allowed hosts and traces surround the whole service, predictions too, where settings ask for
them; where none does, nothing surrounds it. `API_ALLOWED_HOSTS` says which names a request may
call this service by. No answer repeats the name, so any is admitted unless some are listed; then a
page of another name that points here (DNS rebinding) gets no answer.
"""

import logging
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from time import perf_counter
from typing import Protocol

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import UnknownHostError
from api.http.ids import REQUEST_ID, given_id, new_id
from api.http.load import ALWAYS
from api.http.problems import answer_of, unforeseen
from api.models.catalogue import Catalogue
from api.settings import Settings
from api.telemetry.logs import about
from api.telemetry.metrics import OTHER, Metrics
from treeline.errors import MissingExtraError
from treeline.registry import resolve

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

        get = {**scope, "method": "GET"}
        try:
            await self._app(get, receive, send_without_body)
        finally:
            scope["route"] = get.get("route")  # which the metrics name


def completed(headers: list[tuple[bytes, bytes]], *, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer, with those that every answer has."""
    given = {name.lower() for name, _ in headers}
    added = [each for each in HEADERS if each[0] not in given]
    if given.isdisjoint((NO_STORE[0], VALIDATOR)):
        added.append(NO_STORE)
    others = [each for each in headers if each[0].lower() != REQUEST_ID]
    return [*others, *added, (REQUEST_ID, request_id.encode())]


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, such as `/v1/models/{model}`."""
    path: str = getattr(scope.get("route"), "path", OTHER)
    return path


ANY_BELOW = "*."


class AllowedHosts:
    """Passes on what names one of the hosts; supervisors, who ask by address, always get in."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """`tree.example` is one host, `*.tree.example` any below it; ports do not matter."""
        self._app = app
        names = [each.lower() for each in hosts]
        self._names = frozenset(names)
        self._below = tuple(each[1:] for each in names if each.startswith(ANY_BELOW))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS or self.allowed(host_of(scope)):
            await self._app(scope, receive, send)
            return
        error = UnknownHostError(
            "The Host of the request is none that this service answers to; API_ALLOWED_HOSTS "
            "names those."
        )
        answer = answer_of(error, method=scope["method"], path=scope["path"])
        answer.raw_headers.append((REQUEST_ID, (given_id(scope) or new_id()).encode()))
        await answer(scope, receive, send)

    def allowed(self, host: str) -> bool:
        """Tell whether a host is one of those."""
        return host in self._names or host.endswith(self._below)


def host_of(scope: Scope) -> str:
    """Return the host a request names, without its port; empty where it names none or several."""
    named = [value for name, value in scope["headers"] if name == b"host"]
    if len(named) != 1:
        return ""
    host: str = named[0].decode("latin-1").lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TRACERS = {"tracing": "api.telemetry.tracing:Tracing"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SENT = ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID", "traceparent", "tracestate")
READ = ("Retry-After", "X-Request-ID")

logger = logging.getLogger(__name__)


class Traced(Protocol):
    """An application whose requests are traced."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within a span."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return what sends the spans."""


def with_cors(app: ASGIApp, settings: Settings) -> ASGIApp | None:
    """Return an application that pages of the origins in the settings may call; None: no such."""
    if not settings.cors_origins:
        return None
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=METHODS,
        allow_headers=SENT,
        expose_headers=READ,
    )


class Surroundings:
    """What surrounds an application: `app` is None where nothing does."""

    def __init__(self, inside: ASGIApp, settings: Settings, *, catalogue: Catalogue) -> None:
        self.app: ASGIApp | None = with_cors(inside, settings)
        if settings.allowed_hosts:
            self.app = AllowedHosts(self.app or inside, settings.allowed_hosts)
        self._traced = traced(self.app or inside, catalogue=catalogue)
        self.app = self._traced or self.app

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return what must run as long as the application does."""
        return nullcontext() if self._traced is None else self._traced.running()


def traced(app: ASGIApp, *, catalogue: Catalogue) -> Traced | None:
    """Return an application whose requests are traced; None where no variable asks for it.

    A missing package is no reason not to serve.
    """
    place = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if place is None:
        return None
    try:
        tracing = resolve(TRACERS, "tracing", place=place)
    except MissingExtraError as error:
        logger.warning("%s; the service starts without traces", error)
        return None
    traced_app: Traced = tracing(app, catalogue=catalogue)
    return traced_app
