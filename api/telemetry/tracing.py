"""Requests → spans of OpenTelemetry, sent in batches; the one file that knows its packages.

Its own variables say where to and how much: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER and the others of the standard. `api.middleware` reaches it by name.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.ids import TRACE_ID
from api.http.load import ALWAYS
from api.models.catalogue import DEFAULT_PATH, PATH, Catalogue
from treeline import __version__

END_SECONDS = 3  # how long the end of a worker may wait for a collector that is away
CONTEXT = (b"traceparent", b"tracestate")


class Tracing:
    """Surrounds an application with a span for each request, but for those of supervisors."""

    def __init__(self, app: ASGIApp, *, catalogue: Catalogue) -> None:
        self._app = app
        self._catalogue = catalogue
        self._context = TraceContextTextMapPropagator()
        self._tracer: Tracer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send spans while the application runs, and what is left at its end.

        The thread that sends them would not survive a fork, so it begins in the worker.
        """
        provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
        exporter = OTLPSpanExporter()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = provider.get_tracer("treeline", __version__)
        try:
            yield
        finally:
            self._tracer = None
            give_up = asyncio.get_running_loop().call_later(END_SECONDS, exporter.shutdown)
            await asyncio.to_thread(provider.shutdown)
            give_up.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within a span."""
        tracer = self._tracer
        if tracer is None or scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        given = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in CONTEXT
        }
        span = tracer.start_span(
            scope["method"],
            context=self._context.extract(given),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "url.scheme": scope["scheme"],
            },
        )
        scope[TRACE_ID] = format_trace_id(span.get_span_context().trace_id)
        self._describe_prediction(span, scope)

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                describe_answer(span, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", type(error).__name__)  # its text may hold data
            raise
        finally:
            if (route := getattr(scope.get("route"), "path", None)) is not None:
                describe_route(span, scope["method"], route)
            span.end()

    def _describe_prediction(self, span: Span, scope: Scope) -> None:
        """Say which model is asked, where the answer will not come from a route."""
        path = scope["path"]
        predictor = self._catalogue.by_path.get(path) if scope["method"] == "POST" else None
        if predictor is None:
            return
        span.set_attribute("treeline.model.name", predictor.signature.name)
        span.set_attribute("treeline.model.version", predictor.signature.version)
        describe_route(span, scope["method"], DEFAULT_PATH if path == DEFAULT_PATH else PATH)


def describe_route(span: Span, method: str, route: str) -> None:
    """Name a span by the template of the route that answered."""
    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)


def describe_answer(span: Span, status: int) -> None:
    """Note how a request was answered."""
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", str(status))


def resource() -> Resource:
    """Return what every span says of this service; the variables of the standard come first."""
    named = "OTEL_SERVICE_NAME" in os.environ or SERVICE_NAME in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    own = {SERVICE_VERSION: __version__}
    return Resource.create(own if named else {SERVICE_NAME: "treeline", **own})
