"""Uploads that live in a bucket, served by replicas on machines that share no disk."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="needs moto, a stand-in for S3: make setup-dev")

from starlette.testclient import TestClient

from tests import calling
from tests.api.test_jobs import BEN, desk, order, ran, settled
from tests.api.uploading import HEADERS, KEYS
from tests.balancing import balancing
from tests.objects import ACCESS, Store, standing_store
from tests.serving import Service, serving
from tests.tiny_graphs import scaled
from tests.tiny_models import IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.commands.send import send
from treeline.jobs.spool import Spool

SECONDS = 300  # far more than it takes; the machine may be busy with other tests
ADDRESS = "s3://forest/models"
GIVEN = {
    "API_MODELS": ADDRESS,
    "API_MODELS_SECONDS": "0.3",
    "API_UPLOADS": "store",
    "API_KEYS": KEYS,
    "API_PREDICTION_LOG": "0",
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store with a release, of which each group holds something: else it is not ready."""
    for recipe in (SURVIVAL, IRIS, replace(IRIS, name="large-iris")):
        write_model(tmp_path / "checkout" / "model", recipe)
    with standing_store("forest") as store:
        for name, value in {**ACCESS, "AWS_ENDPOINT_URL": store.url}.items():
            monkeypatch.setenv(name, value)
        send(tmp_path / "checkout", ADDRESS)
        yield store


@contextmanager
def machine(folder: Path, **settings: str) -> Iterator[Service]:
    """Run a service that has nothing but its own folder, and wait until it is ready."""
    folder.mkdir(exist_ok=True)
    with serving(folder / "nothing", folder / "log", **GIVEN | settings) as service:
        wait_until(lambda: status(service, "/readyz") == 200, seconds=SECONDS, what="it is ready")
        yield service


def status(service: Service, path: str) -> int:
    return calling.get(service.url + path, timeout=30).status_code


def put(service: Service, name: str, factor: float) -> int:
    payload = scaled(factor).SerializeToString()
    url = f"{service.url}/v1/models/{name}"
    return calling.put(url, content=payload, headers=HEADERS, timeout=SECONDS).status_code


def delete(service: Service, name: str) -> int:
    url = f"{service.url}/v1/models/{name}"
    return calling.delete(url, headers=HEADERS, timeout=SECONDS).status_code


def said(service: Service, name: str) -> list[float] | int:
    """Return what a model answers to 1, or the status where it is no answer."""
    path = f"{service.url}/v1/models/{name}/predict"
    answer = calling.post(path, json={"values": [1]}, timeout=30)
    values: list[float] = answer.json().get("values", [])
    return values if answer.status_code == 200 else answer.status_code


def all_say(services: tuple[Service, ...], expected: Mapping[str, list[float] | int]) -> None:
    """Wait until all services answer so, by the name of the model."""

    def do() -> bool:
        return all(
            said(each, name) == value for each in services for name, value in expected.items()
        )

    wait_until(do, seconds=SECONDS, what=f"all say {expected}")


def amiss(service: Service) -> str | None:
    found: str | None = calling.get(f"{service.url}/readyz", timeout=30).json()["store"]
    return found


def test_replicas_serve_what_was_uploaded_to_one_of_them_whatever_happens_to_the_others(
    tmp_path: Path, store: Store
) -> None:
    with (
        machine(tmp_path / "a", WEB_CONCURRENCY="2") as a,
        machine(tmp_path / "b") as b,
    ):
        assert (put(a, "mine", 2), said(a, "mine")) == (201, [2.0]), "at once where it was uploaded"
        all_say((a, b), {"mine": [2.0]})
        assert put(b, "mine", 3) == 200
        assert put(a, "other", 4) == 201
        assert delete(a, "..%2Fup") == delete(a, "none") == 404
        assert delete(b, "other") == 204, "deleted where it may not have been seen"
        all_say((a, b), {"mine": [3.0], "other": 404})
        with ThreadPoolExecutor() as threads:
            both = list(threads.map(put, (a, b), ("raced", "raced"), (5, 6)))
        assert set(both) <= {200, 201, 409} and both.count(201) == 1
        wait_until(lambda: said(a, "raced") == said(b, "raced"), seconds=SECONDS, what="both agree")
        assert said(a, "raced") in ([5.0], [6.0])
        store.shut = True
        assert put(a, "late", 7) == delete(b, "mine") == 503
        wait_until(lambda: bool(amiss(a) and amiss(b)), seconds=SECONDS, what="it is told")
        assert "treeline_models_store_away 1.0" in calling.get(f"{a.url}/metrics").text
        all_say((a, b), {"mine": [3.0], "late": 404})
    with machine(tmp_path / "a") as a:
        assert said(a, "mine") == [3.0], "a restart while the store is away takes nothing back"
        with machine_waiting(tmp_path / "c") as c:
            assert status(c, "/readyz") == 503, "a new machine gets no requests before it has them"
            store.shut = False
            wait_until(lambda: status(c, "/readyz") == 200, seconds=SECONDS, what="c is ready")
            assert said(c, "mine") == [3.0]
            assert delete(c, "mine") == 204
            all_say((a, c), {"mine": 404, "late": 404})
    shutil.rmtree(tmp_path / "a")
    with machine(tmp_path / "a") as a:
        assert said(a, "raced") in ([5.0], [6.0]), "they outlive the machine"


@contextmanager
def machine_waiting(folder: Path) -> Iterator[Service]:
    """Run a service, which may not become ready."""
    folder.mkdir()
    with serving(folder / "nothing", folder / "log", **GIVEN) as service:
        yield service


def test_the_balancer_asks_the_group_that_holds_an_upload(tmp_path: Path, store: Store) -> None:
    with (
        machine(tmp_path / "usual", API_MODELS_NAMED="iris,tree-*,small*") as usual,
        machine(tmp_path / "large", API_MODELS_NAMED="large-*") as large,
        balancing(tmp_path, usual.port, group=large.port) as balancer,
    ):
        front = Service(balancer.port, usual.process, usual.log)
        assert put(front, "large-one", 2) == put(front, "small", 3) == 201
        assert said(front, "large-one") == [2.0]
        assert said(front, "small") == [3.0]
        assert said(usual, "large-one") == said(large, "small") == 404
        assert put(usual, "large-two", 2) == put(large, "other", 2) == 409
        assert delete(front, "large-one") == 204
        assert said(large, "large-one") == 404


def test_what_a_job_made_at_one_replica_is_its_owners_at_all(tmp_path: Path, store: Store) -> None:
    given = {"models": ADDRESS, "models_seconds": 0.3, "uploads": "store"}
    with (
        desk(tmp_path, tmp_path / "a", **given) as a,
        desk(tmp_path, tmp_path / "b", **given) as b,
    ):
        replicas = {"a": a, "b": b}
        for factor, name in ((2, "a"), (3, "b")):
            id_ = order(replicas[name]).json()["id"]
            ran(Spool(tmp_path / name / "jobs"), id_, scaled(factor).SerializeToString())
            assert settled(replicas[name], id_)["state"] == "done"
            await_job(replicas.values(), id_)
            assert {order(each, headers=BEN).status_code for each in replicas.values()} == {409}


def await_job(replicas: Iterable[TestClient], id_: str) -> None:
    """Wait until all replicas serve what a job has made."""
    for replica in replicas:
        wait_until(partial(is_made_by, replica, id_), seconds=SECONDS, what="it is served")


def is_made_by(replica: TestClient, id_: str) -> bool:
    card = replica.get("/v1/models/mine").json()
    return (card.get("job") or {}).get("id") == id_
