"""Uploads with several worker processes: all serve the same, and no request fails meanwhile."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import calling
from tests.api.uploading import HEADERS, KEYS
from tests.serving import Service, serving
from tests.tiny_graphs import scaled

PATH = "/v1/models/double/predict"


@pytest.fixture
def service(models: Path, tmp_path: Path) -> Iterator[Service]:
    settings = {"API_KEYS": KEYS, "API_STATE_DIR": str(tmp_path / "state"), "WEB_CONCURRENCY": "2"}
    with serving(models, tmp_path / "log", **settings) as service:
        yield service


def ask(service: Service) -> httpx2.Response:
    """Ask over a connection of its own, so that either worker may answer."""
    return calling.post(service.url + PATH, json={"values": [1]})


def put(service: Service, factor: float) -> int:
    payload = scaled(factor).SerializeToString()
    url = f"{service.url}/v1/models/double"
    return calling.put(url, content=payload, headers=HEADERS, timeout=30).status_code


def all_say(service: Service, value: float) -> bool:
    return all(ask(service).json()["values"] == [value] for _ in range(8))


def test_all_workers_serve_it_and_no_request_fails_while_it_is_replaced(service: Service) -> None:
    assert put(service, 1) == 201
    assert [ask(service).status_code for _ in range(16)] == [200] * 16
    failures: list[str] = []
    over = threading.Event()

    def keep_asking() -> None:
        with httpx2.Client() as asker:
            while not over.is_set():
                answer = asker.post(service.url + PATH, json={"values": [1]})
                if answer.status_code != 200:
                    failures.append(answer.text)

    askers = [threading.Thread(target=keep_asking) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for factor in (2, 3):
            assert put(service, factor) == 200
            assert all_say(service, float(factor))
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert failures == []
    deleted = calling.delete(f"{service.url}/v1/models/double", headers=HEADERS)
    assert deleted.status_code == 204
    assert {ask(service).status_code for _ in range(8)} == {404}
