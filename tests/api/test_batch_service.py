"""Batches beside everything else: limits, lost processes, callers that go, health checks."""

import io
import os
import shutil
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.inference.batch_pool import Pools
from api.settings import Settings
from tests import calling
from tests.api.conftest import Serve
from tests.processes import beside, children
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
    before = beside(os.getpid())
    with (
        serve(models, state_dir=tmp_path, prediction_log=False) as client,
        ThreadPoolExecutor() as threads,
    ):
        client.post(PATH, content=HEADER + ROW, headers=HEADERS)
        (child,) = beside(os.getpid()) - before
        asked = threads.submit(client.post, PATH, content=HEADER + ROW * 100_000, headers=HEADERS)
        wait_until(lambda: drafts(tmp_path) != [], seconds=WAIT_SECONDS, what="it is under way")
        os.kill(child, signal.SIGKILL)
        answer = asked.result()
    assert answer.status_code == 200
    assert answer.content.count(b"\n") == 100_001
    assert drafts(tmp_path) == []
    assert beside(os.getpid()) <= before


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
                assert calling.get(f"{service.url}/healthz", timeout=1).status_code == 200

        answer = calling.post(service.url + PATH, content=rows(), headers=HEADERS, timeout=60)
        assert answer.content.count(b"\n") == 100_001
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            caller.sendall(head.encode() + HEADER + ROW * 100_000)
            wait_until(lambda: drafts(state) != [], seconds=WAIT_SECONDS, what="it is under way")
        wait_until(lambda: drafts(state) == [], seconds=WAIT_SECONDS, what="nothing is left")
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            body = HEADER + ROW * 200_000
            caller.sendall(head.replace("100000000", str(len(body))).encode() + body)
        wait_until(lambda: drafts(state) == [], seconds=WAIT_SECONDS, what="nothing is left")


def test_a_table_is_computed_no_further_when_its_caller_goes(models: Path, tmp_path: Path) -> None:
    state, body = tmp_path / "state", HEADER + ROW * 2_000_000
    settings = {"API_STATE_DIR": str(state), "API_PREDICTION_LOG": "false", "WEB_CONCURRENCY": "1"}
    with serving(models, tmp_path / "log.txt", **settings) as service:
        url = service.url + PATH
        assert calling.post(url, content=HEADER + ROW, headers=HEADERS, timeout=60).is_success
        (worker,) = children(service.process.pid)
        (process,) = beside(worker)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: test\r\nContent-Type: text/csv\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            caller.sendall(head.encode() + body[: len(body) // 2])
            wait_until(lambda: drafts(state) != [], seconds=WAIT_SECONDS, what="it is under way")
        wait_until(lambda: process not in beside(worker), seconds=WAIT_SECONDS, what="it is killed")
        assert calling.post(url, content=HEADER + ROW, headers=HEADERS, timeout=60).is_success


def to_arrow(columns: dict[str, pa.Array]) -> bytes:
    table, sink = pa.table(columns), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def to_parquet(columns: dict[str, pa.Array]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, use_dictionary=False, compression="none")
    return sink.getvalue()


SECRET = -0.123456789
SPOOLED = {
    "application/vnd.apache.arrow.stream": to_arrow,
    "application/vnd.apache.parquet": to_parquet,
}


@pytest.mark.parametrize("redacted", [("diabetes.age",), ("age",), ("Soil",), ()])
def test_a_table_with_redacted_features_does_not_reach_the_disk(
    serve: Serve, models: Path, tmp_path: Path, redacted: tuple[str, ...]
) -> None:
    count = 40_000
    columns = {"age": pa.array([SECRET] * count), "bmi": pa.array([0.5] * count)}
    hidden = any(entry.endswith("age") for entry in redacted)
    settings = {"prediction_log": True, "prediction_log_redact": redacted, "state_dir": tmp_path}
    with serve(models, **settings) as client, ThreadPoolExecutor(1) as threads:
        for kind, written in SPOOLED.items():
            body, over = written(columns), threading.Event()
            watching = threads.submit(seen_until, over, tmp_path)
            try:
                answer = client.post(PATH, content=body, headers={"Content-Type": kind})
            finally:
                over.set()
            assert answer.status_code == 200, answer.text
            seen = watching.result()
            if hidden:
                assert not seen
            elif kind.endswith("stream"):  # a table as small as this one in Parquet is gone at once
                assert seen
    assert (tmp_path / "batches").stat().st_mode & 0o777 == 0o700


def seen_until(over: threading.Event, state_dir: Path) -> bool:
    """Tell whether the secret was in a file under way before the end of the request."""
    seen = False
    while not over.wait(0.0005):
        for path in drafts(state_dir):
            with suppress(FileNotFoundError):
                assert path.stat().st_mode & 0o777 == 0o600
                seen = seen or struct.pack("<d", SECRET) in path.read_bytes()
    return seen


def test_a_bad_row_does_not_say_the_value_of_a_redacted_feature(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    settings = {"prediction_log": True, "prediction_log_redact": ("age",), "state_dir": tmp_path}
    with serve(models, **settings) as client:
        answer = client.post(
            f"{PATH}?bad_rows=report", content=HEADER + b"4711x,0\n0,4712x\n", headers=HEADERS
        )
    assert "4711x" not in answer.text
    assert "age: is refused; give a number" in answer.text
    assert "4712x" in answer.text


def test_a_redacted_table_that_memory_does_not_hold_is_refused(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    settings = {"prediction_log": True, "prediction_log_redact": ("age",), "state_dir": tmp_path}
    body = to_arrow({"age": pa.array([SECRET] * 100), "bmi": pa.array([0.5] * 100)})
    with serve(models, max_whole_bytes=1000, **settings) as client:
        answer = client.post(
            PATH, content=body, headers={"Content-Type": "application/vnd.apache.arrow.stream"}
        )
    assert answer.status_code == 413
    assert "API_MAX_WHOLE_BYTES" in answer.json()["detail"]


def test_a_table_is_read_where_no_secret_is(
    serve: Serve, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PREDICTION_LOG_URL", "postgresql://tree:4711@host/log")
    before = beside(os.getpid())
    with serve(models, state_dir=tmp_path) as client:
        assert client.post(PATH, content=HEADER + ROW, headers=HEADERS).status_code == 200
        (child,) = beside(os.getpid()) - before
        environment = Path(f"/proc/{child}/environ").read_bytes()
        limits = Path(f"/proc/{child}/limits").read_text()
    assert b"PATH=" in environment
    assert b"4711" not in environment
    assert b"API_" not in environment
    (files,) = (line for line in limits.splitlines() if line.startswith("Max file size"))
    assert files.split()[3:5] == ["0", "0"]


def test_a_batch_ends_at_its_deadline(serve: Serve, models: Path, tmp_path: Path) -> None:
    with serve(models, state_dir=tmp_path, batch_seconds=0.05) as client:
        answer = client.post(PATH, content=HEADER + ROW * 200_000, headers=HEADERS)
    assert answer.status_code == 422
    assert "API_BATCH_SECONDS" in answer.json()["detail"]
    assert drafts(tmp_path) == []


def test_a_service_that_ends_does_not_wait_for_a_process_that_starts(tmp_path: Path) -> None:
    pools = Pools.of(Settings(model_dir=tmp_path))
    before = beside(os.getpid())
    pools.readers.warm()
    wait_until(lambda: beside(os.getpid()) != before, seconds=WAIT_SECONDS, what="it starts")
    pools.readers.stop()
    assert pools.readers.state().crashed == 0
    assert beside(os.getpid()) <= before
    pools.writers.stop()
