"""Traces of OpenTelemetry, received as their standard says: OTLP over HTTP."""

import gzip
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.tiny_models import SURVIVAL

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
FOLLOWED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SERVER = 2  # SPAN_KIND_SERVER
ERROR = 2  # STATUS_CODE_ERROR


class Collector(ThreadingHTTPServer):
    """Receives spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[Any] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services.add(attributes(sent.resource)["service.name"])
            for scope in sent.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def attributes(of: Any) -> dict[str, Any]:
    """Return the attributes of a span or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def running(models: Path) -> Iterator[TestClient]:
    app = create_app(Settings(model_dir=models, prediction_log=False))

    @app.get("/failing/{tree}")
    async def failing(tree: str) -> None:
        raise RuntimeError(f"{tree} is private")

    with TestClient(app) as client:
        yield client


def test_every_request_is_a_span_that_follows_its_caller(
    models: Path, collector: Collector
) -> None:
    with running(models) as client:
        client.post("/v1/predict", json=SURVIVAL.example, headers=FOLLOWED)
        client.get("/v1/models/iris", headers=FOLLOWED)
    predicted, read = collector.spans
    assert predicted.name == "POST /v1/predict" and read.name == "GET /v1/models/{model}"
    for span in (predicted, read):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert span.kind == SERVER
        assert span.end_time_unix_nano > span.start_time_unix_nano
    told = attributes(predicted)
    assert told["treeline.model.version"]
    assert {name: told[name] for name in told if name != "treeline.model.version"} == {
        "http.request.method": "POST",
        "url.path": "/v1/predict",
        "url.scheme": "http",
        "http.route": "/v1/predict",
        "http.response.status_code": 200,
        "treeline.model.name": "tree-survival",
    }
    assert attributes(read)["http.route"] == "/v1/models/{model}"
    assert collector.services == {"treeline"}


def test_a_failure_is_an_error_and_keeps_its_data_to_itself(
    models: Path, collector: Collector
) -> None:
    with running(models) as client:
        client.get("/failing/oak")
        client.get("/v1/models/oak")
    failed, missing = collector.spans
    assert failed.status.code == ERROR and missing.status.code != ERROR
    assert attributes(failed)["error.type"] == "500"
    assert "private" not in str(failed)


def test_supervisors_leave_no_spans_and_who_follows_nobody_begins_a_trace(
    models: Path, collector: Collector
) -> None:
    with running(models) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            client.get(path)
        client.get("/v1/models")
    (span,) = collector.spans
    assert span.name == "GET /v1/models" and not span.parent_span_id


def test_without_an_endpoint_nothing_surrounds_the_service(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    assert create_app(Settings(model_dir=models)).around is None


def test_a_missing_extra_is_told_and_the_service_starts(
    models: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delitem(sys.modules, "api.telemetry.tracing", raising=False)
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [ModelAbsent(), *sys.meta_path])
    with caplog.at_level(logging.WARNING), running(models) as client:
        assert client.post("/v1/predict", json=SURVIVAL.example).status_code == 200
    assert "make setup-full" in caplog.text
    assert collector.spans == []


class ModelAbsent:
    """An environment in which the exporter of the extra is not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
