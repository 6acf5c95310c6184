"""Settings → what surrounds the whole service, predictions too: CORS, hosts, traces, where set.

Where neither is, nothing surrounds it, and nothing is paid for.
"""

import logging
import os
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.catalogue.entries import Catalogue
from api.security.hosts import AllowedHosts
from api.settings import Settings
from treeline.errors import MissingExtraError
from treeline.registry import resolve

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
    found: Traced = tracing(app, catalogue=catalogue)
    return found
