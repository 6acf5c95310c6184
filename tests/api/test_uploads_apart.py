"""Uploaded graphs run apart: whatever one does, the service and the other models answer."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
from onnx import ModelProto
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from tests.api.uploading import publish, uploading
from tests.tiny_graphs import as_often_as_asked, endless_beyond, filled, growing, scaled
from tests.tiny_models import IRIS, build_graph, sign
from tests.waiting import wait_until

FOREVER = {"values": {"x": [1.0], "turns": 10**15}}
GIGABYTE = 1 << 30
SECONDS = 30  # that a run may take, where it is to be killed before


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A service with a model that loops, one that fills memory, and one that doubles."""
    graphs: dict[str, ModelProto] = {
        "loop": as_often_as_asked(),
        "fill": filled(),
        "double": scaled(2),
    }
    for name, graph in graphs.items():
        publish(tmp_path, name, graph)
    limits = {"run_seconds": 2, "run_memory_bytes": GIGABYTE, "run_processes": 3}
    with uploading(models, tmp_path, **limits) as client:
        yield client


def doubled(client: TestClient) -> object:
    return client.post("/v1/models/double/predict", json={"values": [1, 2]}).json().get("values")


def test_a_run_that_never_ends_is_ended_and_the_others_answer(client: TestClient) -> None:
    answer = client.post("/v1/models/loop/predict", json=FOREVER)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, "run-too-long")
    assert "API_RUN_SECONDS" in answer.json()["detail"]
    assert doubled(client) == [2, 4]
    assert client.post("/v1/models/iris/predict", json=IRIS.example).status_code == 200
    fine = {"values": {"x": [1.0], "turns": 3}}
    assert client.post("/v1/models/loop/predict", json=fine).json()["values"] == [8]


def test_a_run_that_fills_the_memory_is_ended_and_the_others_answer(client: TestClient) -> None:
    answer = client.post("/v1/models/fill/predict", json={"values": [1 << 31]})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, "run-too-large")
    assert "API_RUN_MEMORY_BYTES" in answer.json()["detail"]
    assert doubled(client) == [2, 4]


def test_a_model_that_loops_for_some_records_passes_its_trial_and_holds_nobody(
    models: Path, tmp_path: Path
) -> None:
    graph = endless_beyond(15, build_graph(IRIS))
    sign(graph, IRIS)
    beyond = {**IRIS.example, next(iter(IRIS.example)): 16}
    path = "/v1/models/flowers/predict"
    with (
        uploading(models, tmp_path, run_seconds=2) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        created = client.put("/v1/models/flowers", content=graph.SerializeToString())
        assert created.status_code == 201, created.text
        assert client.post(path, json=IRIS.example).status_code == 200
        calls = [
            threads.submit(client.post, path, json=beyond),
            threads.submit(client.post, f"{path}/batch", json=[beyond]),
        ]
        asked = 0
        while not all(call.done() for call in calls):
            assert client.get("/healthz").status_code == 200
            assert client.post("/v1/models/iris/predict", json=IRIS.example).status_code == 200
            asked += 1
            time.sleep(0.05)
        assert asked > 10
        for call in calls:
            assert call.result().status_code == 422, call.result().text
            assert "API_RUN_SECONDS" in call.result().text
        assert client.post(path, json=IRIS.example).status_code == 200


def test_the_open_inference_protocol_runs_them_apart_too(client: TestClient) -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
        {"name": "turns", "datatype": "INT64", "shape": [], "data": [10**15]},
    ]
    answer = client.post("/v2/models/loop/infer", json={"inputs": inputs})
    assert answer.status_code == 422
    assert "API_RUN_SECONDS" in answer.text
    inputs[1]["data"] = [3]
    answer = client.post("/v2/models/loop/infer", json={"inputs": inputs})
    assert answer.json()["outputs"][0]["data"] == [8]


def test_a_model_whose_runs_are_ended_again_and_again_rests_and_that_is_told(
    client: TestClient,
) -> None:
    async def crowd() -> list[int]:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as many:
            calls = [
                many.post("/v1/models/loop/predict", json=FOREVER, timeout=60) for _ in range(6)
            ]
            return sorted(each.status_code for each in await asyncio.gather(*calls))

    assert asyncio.run(crowd()) == [422, 422, 422, 503, 503, 503]
    rests = client.post("/v1/models/loop/predict", json=FOREVER)
    assert rests.status_code == 503
    assert 0 < int(rests.headers["Retry-After"]) <= 60
    ready = client.get("/readyz").json()
    assert "took longer than API_RUN_SECONDS" in ready["stuck"]["loop"]
    assert doubled(client) == [2, 4]
    assert 'treeline_runs_ended_total{reason="killed"} 3.0' in client.get("/metrics").text


def test_a_model_that_costs_its_process_again_and_again_rests_longer_each_time(
    client: TestClient,
) -> None:
    def fill() -> httpx.Response:
        return client.post("/v1/models/fill/predict", json={"values": [1 << 31]})

    pauses = []
    for _ in range(2):
        assert fill().status_code == 422
    for _ in range(2):
        assert fill().status_code == 422
        rests = fill()
        assert (rests.status_code, "it rests" in rests.json()["detail"]) == (503, True)
        stuck = client.get("/readyz").json()["stuck"]["fill"]
        assert "needed more memory than API_RUN_MEMORY_BYTES" in stuck
        pauses.append(int(rests.headers["Retry-After"]))
        time.sleep(pauses[-1])
    assert pauses == [2, 4]
    assert doubled(client) == [2, 4]
    answer = client.post("/v1/models/fill/predict", json={"values": [2]})
    assert answer.json()["values"] == [0, 0]
    assert client.get("/readyz").json()["stuck"] == {}
    assert fill().status_code == 422  # which is the first one again


def test_a_graph_that_would_grow_when_it_is_read_grows_no_worker(
    models: Path, tmp_path: Path
) -> None:
    before = resident_bytes()
    publish(tmp_path, "grow", growing())
    with uploading(models, tmp_path, run_seconds=20) as client:
        assert client.get("/readyz").json()["models"]["grow"]
        assert resident_bytes() - before < 256 << 20


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def test_a_file_that_was_changed_is_not_run(models: Path, tmp_path: Path) -> None:
    upload = publish(tmp_path, "double", scaled(2))
    (tmp_path / f"uploads/double/{upload.version}/model.onnx").write_bytes(
        scaled(3).SerializeToString()
    )
    with uploading(models, tmp_path) as client:
        assert "is not what was uploaded" in client.get("/readyz").json()["refused"]["double"]


BEYOND = {**IRIS.example, next(iter(IRIS.example)): 16}
TURNS = [
    {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
    {"name": "turns", "datatype": "INT64", "shape": [], "data": [10**15]},
]
COLUMNS = [
    {"name": name, "datatype": "FP64", "shape": [1], "data": [value]}
    for name, value in BEYOND.items()
]
ENDLESS = {
    "/v1/models/loop/predict": FOREVER,
    "/v2/models/loop/infer": {"inputs": TURNS},
    "/v1/models/flowers/predict": BEYOND,
    "/v1/models/flowers/predict/batch": [BEYOND],
    "/v2/models/flowers/infer": {"inputs": COLUMNS},
}


@pytest.mark.parametrize("path", ENDLESS)
def test_the_run_of_a_caller_that_has_gone_is_killed(
    models: Path, tmp_path: Path, path: str
) -> None:
    graph = endless_beyond(15, build_graph(IRIS))
    sign(graph, IRIS)
    publish(tmp_path, "flowers", graph)
    publish(tmp_path, "loop", as_often_as_asked())

    async def leave(app: ASGIApp) -> None:
        sent: list[dict[str, object]] = [
            {"type": "http.request", "body": json.dumps(ENDLESS[path]).encode()}
        ]

        async def receive() -> dict[str, object]:
            if sent:
                return sent.pop()
            while not graphs.state().running:
                await asyncio.sleep(0.02)
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            """Nobody is there."""

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
        }
        await app(scope, receive, send)

    with uploading(models, tmp_path, run_seconds=SECONDS, batch_seconds=SECONDS) as client:
        graphs = client.app.services.graphs  # type: ignore[attr-defined]
        assert client.get("/readyz").json()["models"].keys() >= {"flowers", "loop"}
        started = time.monotonic()
        asyncio.run(leave(client.app))
        wait_until(lambda: not graphs.state().running, seconds=SECONDS, what="no run is left")
        assert time.monotonic() - started < SECONDS / 2
        assert graphs.state().killed == 1
