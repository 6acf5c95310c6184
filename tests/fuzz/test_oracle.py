"""The oracle sees each fault that a service can show, and none where there is none."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fuzz.cases import Case, Request
from tests.fuzz.controls import CANARY
from tests.fuzz.faulty import SECRET
from tests.fuzz.oracle import Bounds, Oracle, Outcome, tried
from tests.fuzz.sending import Answer
from tests.fuzz.target import Target
from tests.fuzz.watching import Watch, children
from tests.serving import ROOT, Service, free_port
from tests.waiting import wait_until

FAULTS = {
    "good": set(),
    "slow": {"time"},
    "hold": {"event loop"},
    "work": {"work"},
    "grow": {"memory"},
    "leave": {"state folder"},
    "fail": {"status"},
    "teapot": {"status"},
    "closed": {"no answer"},
    "long": {"size"},
    "no-json": {"answer"},
    "secret": {"secret"},
    "crash": {"crash"},
    "log-secret": {"secret"},
    "log-forged": {"log"},
    "log-failure": {"log"},
    "log-long": {"log"},
}
# Whoever works holds the loop, too, as far as the machine was not busy with others; and while an
# answer does not come, the probe is answered many times, which is work.
BESIDE = {"work": {"event loop"}, "grow": {"event loop"}, "slow": {"work"}}
BOUNDS = Bounds(seconds=6, processor_seconds=0.2, hold_seconds=0.1, growth_bytes=24 << 20)
DOCUMENTED = frozenset({200, 422, 500})


@contextmanager
def faulty(folder: Path) -> Iterator[Target]:
    """Start the server that shows a fault on each of its paths, below a process that keeps it."""
    port, log = free_port(), folder / "log.txt"
    keeper = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
    command = [sys.executable, "-c", keeper, "-m", "tests.fuzz.faulty", str(port)]
    environment = {**os.environ, "PLANTED": SECRET, "API_STATE_DIR": str(folder)}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stream)
    service = Service(port, process, log)
    wait_until(service.answers, seconds=30, what="the server answers")
    (worker,) = children(process.pid)
    try:
        with Watch(process.pid, worker, port) as watch:
            target = Target(service, folder, "", (SECRET.encode(),), watch, worker)
            target.statuses = {("GET", f"/{name}"): DOCUMENTED for name in FAULTS}
            yield target
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server for the tests that leave it as it was."""
    with faulty(tmp_path_factory.mktemp("faulty")) as target:
        yield target


def faults(target: Target, path: str) -> set[str]:
    oracle = Oracle(target, BOUNDS)
    case = Case("csv", 0, 0, path, Request("GET", f"/{path}"))
    return {fault.kind for fault in oracle.judge(case, tried(target, case.request, BOUNDS))}


@pytest.mark.parametrize("path", FAULTS)
def test_every_fault_is_seen_and_no_other(target: Target, path: str) -> None:
    assert faults(target, path) - BESIDE.get(path, set()) == FAULTS[path]
    for draft in target.drafts():
        (target.state / draft).unlink()


def test_a_worker_that_ends_is_seen(tmp_path: Path) -> None:
    with faulty(tmp_path) as target:
        assert faults(target, "end") == {"no answer", "worker"}


@pytest.mark.parametrize(("path", "kind"), [("changed", "control"), ("unready", "not ready")])
def test_what_goes_wrong_later_is_seen(tmp_path: Path, path: str, kind: str) -> None:
    with faulty(tmp_path) as target:
        oracle = Oracle(target, BOUNDS)
        assert oracle.steady() == []
        target.ask(Request("GET", f"/{path}"))
        assert [fault.kind for fault in oracle.steady()] == [kind]


def test_what_another_request_said_is_no_ones_answer(target: Target) -> None:
    oracle = Oracle(target, BOUNDS)
    said = Case("csv", 0, 0, "an echo", Request("GET", "/good", CANARY.encode()))
    other = Case("csv", 0, 1, "a leak", Request("GET", "/good", b"something else"))
    outcome = Outcome(Answer(200, CANARY.encode()), growth_bytes=0, hold_seconds=0)
    assert [fault.kind for fault in oracle.judge(said, outcome)] == []
    assert [fault.kind for fault in oracle.judge(other, outcome)] == ["secret"]
