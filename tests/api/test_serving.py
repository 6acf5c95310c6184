"""The service as it runs: initializer.sh, gunicorn, workers, signals, sockets."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import calling
from tests.serving import Service, serving
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

BODY = json.dumps(SURVIVAL.example).encode()
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: tests\r\nContent-Type: application/json\r\n"
MUCH = b" " * 3000


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return everything that a server sends until it closes."""
    answer = b""
    while some := connection.recv(1 << 16):
        answer += some
    return answer


def workers_of(master: int) -> list[int]:
    """Return the ids of the processes that a process has started and that still run."""
    listed = subprocess.run(
        ["pgrep", "-P", str(master)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    with serving(models, log, WEB_CONCURRENCY="2", API_MAX_BODY_BYTES="2000") as service:
        yield service


@pytest.fixture
def connection(service: Service) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        yield connection


def test_it_predicts_on_the_port_it_was_given(service: Service) -> None:
    answer = calling.post(f"{service.url}/v1/predict", json=SURVIVAL.example)
    assert answer.json()["model"] == "tree-survival"


def test_it_says_where_to_look_and_what_to_paste(service: Service) -> None:
    printed = service.log.read_text()
    command = printed[printed.index("curl ") : printed.index("}'") + 2]
    answer = subprocess.run(["bash", "-c", f"{command} -s"], capture_output=True, check=True)
    assert f"{service.url}/docs" in printed
    assert json.loads(answer.stdout)["model"] == "tree-survival"


def test_an_endless_body_is_refused_and_cut_off(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"%x\r\n%s\r\n" % (len(MUCH), MUCH))
    answer = read_to_the_end(connection)  # though the body has not ended
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


def test_a_body_that_says_it_is_too_large_is_not_read(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
    assert read_to_the_end(connection).startswith(b"HTTP/1.1 413")


def test_a_lost_worker_is_replaced(service: Service) -> None:
    master = service.process.pid
    wait_until(lambda: len(workers_of(master)) == 2, seconds=20, what="two workers")
    lost = workers_of(master)[0]
    os.kill(lost, signal.SIGKILL)
    wait_until(
        lambda: lost not in (now := workers_of(master)) and len(now) == 2,
        seconds=20,
        what="another worker in place of the lost one",
    )
    answer = calling.post(f"{service.url}/v1/predict", json=SURVIVAL.example)
    assert answer.status_code == 200


def test_a_request_under_way_is_answered_before_it_ends(models: Path, tmp_path: Path) -> None:
    with (
        serving(models, tmp_path / "log", WEB_CONCURRENCY="1") as service,
        socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection,
    ):
        connection.sendall(HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(BODY))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # the request is now under way
        service.process.send_signal(signal.SIGTERM)
        wait_until(
            lambda: "Shutting down" in service.log.read_text(), seconds=10, what="it is ending"
        )
        connection.sendall(BODY)
        answer = read_to_the_end(connection)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b'"model":"tree-survival"' in answer
        assert service.process.wait(20) == 0


def test_without_any_model_it_starts_and_ends_all_the_same(tmp_path: Path) -> None:
    with serving(tmp_path / "nowhere", tmp_path / "log", WEB_CONCURRENCY="1") as service:
        assert calling.get(f"{service.url}/readyz").status_code == 503
        assert "make repro" in service.log.read_text()
        assert service.stop() == 0
