"""A real MLflow server, and workers that follow it: no request fails, whatever becomes of it."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("mlflow", reason="needs mlflow: make setup-dev")

from tests import calling
from tests.api.registering import ALIAS, QUIET, Registry, weighing
from tests.serving import Service, serving
from tests.tiny_models import SURVIVAL
from tests.trackers.servers import Server, mlflow_server
from tests.waiting import wait_until

SECONDS = 90  # far more than it takes; the machine may be busy with other tests
Recent = deque[str]


@contextmanager
def asking(service: Service, failures: list[str]) -> Iterator[Recent]:
    """Ask all the time meanwhile; yield the versions of the latest answers."""
    recent: Recent = deque(maxlen=30)
    over = threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=service.url, timeout=30) as client:
            while not over.is_set():
                answer = client.post("/v1/predict", json=SURVIVAL.example)
                recent.append(answer.json().get("version", ""))
                if answer.status_code != 200:
                    failures.append(answer.text)
                over.wait(0.005)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        yield recent
    finally:
        over.set()
        for asker in askers:
            asker.join()


def all_are(recent: Recent, version: str) -> bool:
    """Tell whether as many answers as are remembered came from one version."""
    seen = list(recent)
    return len(seen) == recent.maxlen and set(seen) == {version}


def ready(service: Service) -> bool:
    return calling.get(f"{service.url}/readyz").status_code == 200


def away(service: Service) -> str | None:
    found: str | None = calling.get(f"{service.url}/readyz").json()["registry"]
    return found


def settings(uri: str) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": uri,
        "API_REGISTRY": f"models:/tree-survival@{ALIAS}",
        "API_REGISTRY_SECONDS": "0.5",
        "API_REGISTRY_WAIT_SECONDS": "30",
        "API_PREDICTION_LOG": "0",
        "WEB_CONCURRENCY": "2",
    }


def follow(service: Service, server: Server, recent: Recent) -> None:
    """Move the alias, and move it back, and kill the server: the service follows, and serves on."""
    registry = Registry(server.url)
    second = registry.register(weighing(0.2))
    served = calling.get(f"{service.url}/readyz").json()["models"]["tree-survival"]
    for number, version in (("2", second.version), ("1", served)):
        registry.point("tree-survival", number)
        since = time.monotonic()
        new = partial(all_are, recent, version)
        wait_until(new, seconds=SECONDS, what="all workers serve what is named")
        print(f"all workers serve it {time.monotonic() - since:.1f} s after the alias moved")
    server.kill()
    wait_until(lambda: away(service) is not None, seconds=SECONDS, what="it is told")
    recent.clear()
    wait_until(new, seconds=SECONDS, what="it is served on")
    assert ready(service)
    former = f"{service.url}/v1/models/tree-survival/versions/2/predict"
    answer = calling.post(former, json=SURVIVAL.example, timeout=60)
    assert answer.json()["version"] == second.version  # it was fetched before


def test_no_request_fails_while_the_alias_moves_and_the_server_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "models").mkdir()
    store = ["--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    store += ["--artifacts-destination", str(tmp_path / "files")]
    failures: list[str] = []
    with mlflow_server(tmp_path / "mlflow.log", *store) as server:
        Registry(server.url).register(weighing(0.1), alias=ALIAS)
        log = tmp_path / "log"
        with serving(tmp_path / "models", log, **settings(server.url)) as service:
            wait_until(lambda: ready(service), seconds=SECONDS, what="it has fetched the model")
            with asking(service, failures) as recent:
                follow(service, server, recent)
            service.stop()
    assert failures == []
    assert "Traceback" not in (tmp_path / "log").read_text()
