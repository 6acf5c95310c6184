"""Batches beside everything else: limits, lost processes, callers that go, health checks."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import Serve
from tests.serving import serving
from tests.waiting import wait_until

PATH = "/v1/models/diabetes/predict/batch"
HEADERS = {"Content-Type": "text/csv"}
HEADER, ROW = b"age,bmi\n", b"0.0123,-0.0456\n"
WAIT_SECONDS = 20


def drafts(state_dir: Path) -> list[Path]:
    return list((state_dir / "batches").glob("*"))


@dataclass(frozen=True)
class Limit:
    """A setting, and a body that keeps it or not."""

    setting: str
    most: int
    kind: str
    body: bytes
    status: int


RECORD = b'{"age": 1, "bmi": 1}'


@pytest.mark.parametrize(
    "limit",
    [
        Limit("max_batch_rows", 10, "text/csv", HEADER + ROW * 11, 413),
        Limit("max_batch_rows", 10, "text/csv", HEADER + ROW * 10, 200),
        Limit("max_batch_bytes", 100, "text/csv", HEADER + ROW * 11, 413),
        Limit("max_whole_bytes", 20, "application/json", b"[%b]" % RECORD, 413),
        Limit("max_whole_bytes", 20, "application/x-ndjson", RECORD, 200),
    ],
    ids=lambda limit: f"{limit.setting}-{limit.kind}-{limit.status}",
)
def test_limits_hold(serve: Serve, models: Path, tmp_path: Path, limit: Limit) -> None:
    setting = {limit.setting: limit.most}
    with serve(models, state_dir=tmp_path, prediction_log=False, **setting) as client:
        asked = [
            client.post(PATH, content=content, headers={"Content-Type": limit.kind})
            for content in (limit.body, iter([limit.body]))  # with its length, and without
        ]
        assert [answer.status_code for answer in asked] == [limit.status] * 2
    assert drafts(tmp_path) == []


def test_without_a_folder_to_write_to_it_says_so(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    (tmp_path / "batches").write_text("in the way")
    with serve(models, state_dir=tmp_path, prediction_log=False) as client:
        answer = client.post(PATH, content=HEADER + ROW, headers=HEADERS)
    assert answer.status_code == 503
    assert "API_STATE_DIR" in answer.json()["detail"]


def test_a_batch_outlives_the_process_that_computes_it(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    before = set(active_children())
    with (
        serve(models, state_dir=tmp_path, prediction_log=False) as client,
        ThreadPoolExecutor() as threads,
    ):
        client.post(PATH, content=HEADER + ROW, headers=HEADERS)
        (child,) = set(active_children()) - before
        asked = threads.submit(client.post, PATH, content=HEADER + ROW * 100_000, headers=HEADERS)
        wait_until(lambda: drafts(tmp_path) != [], seconds=WAIT_SECONDS, what="it is under way")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        answer = asked.result()
    assert answer.status_code == 200
    assert answer.content.count(b"\n") == 100_001
    assert drafts(tmp_path) == []
    assert set(active_children()) <= before


def test_a_model_that_left_the_folder_is_computed_from_memory(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models, tmp_path / "models")
    settings = {"state_dir": tmp_path / "state", "watch_seconds": 0}
    with serve(tmp_path / "models", prediction_log=False, **settings) as client:
        shutil.rmtree(tmp_path / "models")
        answer = client.post(PATH, content=HEADER + ROW, headers=HEADERS)
        single = client.post(PATH.removesuffix("/batch"), json={"age": 0.0123, "bmi": -0.0456})
    assert answer.text.splitlines()[1].split(",")[0] == str(single.json()["progression"])


def test_what_a_killed_worker_left_is_removed(serve: Serve, models: Path, tmp_path: Path) -> None:
    left = tmp_path / "batches" / "left"
    left.parent.mkdir()
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    with serve(models, state_dir=tmp_path, prediction_log=False):
        assert not left.exists()


def test_others_are_answered_meanwhile_and_a_caller_who_goes_leaves_nothing(
    models: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    settings = {"API_STATE_DIR": str(state), "API_PREDICTION_LOG": "false", "WEB_CONCURRENCY": "1"}
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: test\r\nContent-Type: text/csv\r\n"
        "Content-Length: 100000000\r\n\r\n"
    )
    with serving(models, tmp_path / "log.txt", **settings) as service:

        def rows() -> Iterator[bytes]:
            yield HEADER
            for _ in range(20):
                yield ROW * 5_000
                assert httpx2.get(f"{service.url}/healthz", timeout=1).status_code == 200

        answer = httpx2.post(service.url + PATH, content=rows(), headers=HEADERS, timeout=60)
        assert answer.content.count(b"\n") == 100_001
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            caller.sendall(head.encode() + HEADER + ROW * 100_000)
            wait_until(lambda: drafts(state) != [], seconds=WAIT_SECONDS, what="it is under way")
        wait_until(lambda: drafts(state) == [], seconds=WAIT_SECONDS, what="nothing is left")
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            body = HEADER + ROW * 200_000
            caller.sendall(head.replace("100000000", str(len(body))).encode() + body)
        wait_until(lambda: drafts(state) == [], seconds=WAIT_SECONDS, what="nothing is left")
