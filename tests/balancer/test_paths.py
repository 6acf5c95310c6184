"""What the balancer lets through, asked of the real service behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import ROUTERS
from api.routes import jobs, registry
from tests import calling
from tests.balancing import Balancer, balancing, need_haproxy
from tests.serving import Service, serving

PAGES = ("/openapi.json", "/docs/assets/swagger-ui.css")
COUNTED = "# TYPE treeline_"
HIDDEN = (
    *("/metrics", "/metrics?x", "/metrics/", "/metrics/x", "/METRICS", "//metrics", "/./metrics"),
    *("/%6detrics", "/%6Detrics", "/m%65trics", "/%2fmetrics", "/%2e/metrics", "/%256detrics"),
    *(
        "/x/../metrics",
        "/v1/../metrics",
        "/v1/%2e%2e/metrics",
        "/v1/..%2fmetrics",
        "/v1/.%2e/metrics",
    ),
    *("/docs/../metrics", "/docs/assets/../../metrics", "/docs//metrics", "/v1//metrics"),
    *("/v1/..\\metrics", "/v1/..%5cmetrics", "/v1/../../metrics", "/v2/./../metrics"),
    *("http://x/metrics", "http://x/%6detrics", "http://x//metrics", "HTTP://x/metrics", "*"),
    *("/metrics%3f", "/metrics%23", "/metrics;x", "/metrics%00", "/v1/%00/../metrics", "/metrics%"),
    *("/v1/x%0d%0aGET%20/metrics", "/v1%2f..%2fmetrics", "/healthz/../metrics", "/readyz/metrics"),
    *("/v1metrics", "/docsmetrics", "/.", "/..", "/.env", "/server-status", "/haproxy?stats"),
)


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    need_haproxy()
    log = tmp_path_factory.mktemp("service") / "log"
    with serving(models, log, WEB_CONCURRENCY="1") as service:
        yield service


@pytest.fixture(scope="module")
def front(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """The balancer before the real service."""
    with balancing(tmp_path_factory.mktemp("balancer"), service.port) as balancer:
        yield balancer


def test_a_replica_itself_tells_what_it_counts(service: Service) -> None:
    assert COUNTED in calling.get(f"{service.url}/metrics", timeout=60).text


@pytest.mark.parametrize("target", HIDDEN)
def test_what_is_counted_is_not_for_everybody(front: Balancer, target: str) -> None:
    answer = front.ask(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer[9:12] in {"400", "404"}
    assert COUNTED not in answer
    assert "x-request-id" not in answer.lower()  # it is the balancer's own word


def public() -> list[str]:
    """Return a path of every route there is for everybody."""
    routers = (*ROUTERS, registry.router, jobs.router)
    templates = {route.path.replace(":path}", "}") for router in routers for route in router.routes}
    paths = {each.format(model="iris", version="1", id="0f2e") for each in templates}
    return sorted({*paths, *PAGES} - {"/metrics"})


@pytest.mark.parametrize("path", public())
def test_what_is_for_everybody_is_answered_as_by_a_replica(
    front: Balancer, service: Service, path: str
) -> None:
    asked = calling.get(service.url + path, headers={"Connection": "close"}, timeout=60)
    assert front.status(path) == str(asked.status_code)
    assert "x-request-id" in front.ask(request(path)).lower()


def request(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_name_that_must_be_written_in_codes_arrives(front: Balancer) -> None:
    told = front.ask(request("/v1/models/no%20such%C3%A9"))
    assert told[9:12] == "404"
    assert "x-request-id" in told.lower()


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_of_proxies_are_refused(front: Balancer, method: str) -> None:
    target = "x:80" if method == "CONNECT" else "/v1/models"
    told = front.ask(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert told[9:12] in {"400", "404", "405"}
    assert "x-request-id" not in told.lower()
