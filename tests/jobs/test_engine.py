"""Jobs on each engine: each ends in a clear state, whatever its code does."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests import calling
from tests.checkout import PARAMS
from tests.jobs.engines import PLACES
from tests.jobs.places import (
    DISK_BYTES,
    HEADERS,
    LINE,
    LOG_BYTES,
    MODEL_BYTES,
    Desk,
    Files,
    Place,
)
from tests.tiny_models import IRIS, write_model
from tests.waiting import wait_until
from treeline.jobs.documents import Ending
from treeline.jobs.spool import ENDING_FILE, Spool, write_document

MAKE_A_MODEL = """
import os
import numpy as np
from onnx import TensorProto, helper, numpy_helper

factor = float(open(os.environ["DATASET"]).read())
node = helper.make_node("Mul", ["x", "factor"], ["y"])
graph = helper.make_graph(
    [node], "scaled",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
    [numpy_helper.from_array(np.float32(factor), "factor")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
open(os.environ["OUTPUT"], "wb").write(model.SerializeToString())
"""
# What it must not be able to do is tried by the script itself, which fails where it can.
ENCLOSED = (
    """
import os, pathlib, socket
assert os.getuid() >= 10001 and os.getgroups() in ([], [os.getgid()]) and os.getgid() >= 10001
for path in "/run/x /var/tmp/x /job/wheels/x /app/x /job/input/x /x /opt/venv/x /job/x".split():
    try:
        pathlib.Path(path).write_text("x")
    except OSError:
        continue
    raise SystemExit(f"{path} can be written")
try:
    socket.create_connection(("1.1.1.1", 53), timeout=2)
except OSError as error:
    print("no network:", error)
else:
    raise SystemExit("there is a network")
assert not pathlib.Path("/var/run/docker.sock").exists()
assert not pathlib.Path("/var/run/secrets").exists()
assert os.listdir("/sys/class/net") == ["lo"]
capabilities = [line for line in open("/proc/self/status") if line.startswith("CapEff")]
assert capabilities == ["CapEff:\\t0000000000000000\\n"], capabilities
os.environ["DATASET"] = "/tmp/factor"
open("/tmp/factor", "w").write("3")
"""
    + MAKE_A_MODEL
)
DECLARATION = "\n".join(
    line[4:]
    for line in PARAMS[PARAMS.index("    target: {name: species") :].split("\n\n")[0].splitlines()
)


def iris() -> str:
    """Return a table with the columns that the declaration names."""
    from sklearn.datasets import load_iris  # noqa: PLC0415

    frame = load_iris(as_frame=True).frame
    frame["species"] = frame.pop("target").map({0: "setosa", 1: "versicolor", 2: "virginica"})
    text: str = frame.to_csv(index=False)
    return text


@dataclass(frozen=True)
class Case:
    """A job, and how it ends."""

    files: Files
    state: str = "failed"
    reason: str | None = "script"
    says: str = ""
    logs: str = ""
    texts: dict[str, str] = field(default_factory=dict)


def script(text: str, **more: Any) -> Case:
    return Case({"script": text, **more.pop("files", {})}, **more)


GROWING = "import sys\nwhile True: sys.stdout.write('x' * 1000 + chr(10))"
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:  # as many processes as there may be
        pass
"""
WRITING = f"""
import os
with open(os.environ["OUTPUT"], "wb") as file:
    file.write(b"x" * {MODEL_BYTES + 1})
"""
FILLING = f"""
with open("all", "wb") as file:
    for _ in range({2 * DISK_BYTES} >> 20):
        file.write(b"x" * (1 << 20))
"""
COUNTING = """
import time
for number in range(10_000):
    print(number, flush=True)
    time.sleep(0.05)
"""
# A library is a program to the kernel: one of Python's own is loaded from where wheels go.
INSTALLED = (
    """
import ctypes, importlib.metadata, os, pathlib, shutil, sys
import _bisect as library, numpy, probe, probe_base
assert probe.__file__.startswith("/tmp/job/") and numpy.__file__.startswith("/opt/venv/")
print("probe", importlib.metadata.version("probe"), "on", probe_base.__version__)
ctypes.CDLL(shutil.copy(library.__file__, "/tmp/copied.so"))
os.environ["DATASET"] = "factor"
open("factor", "w").write("2")
"""
    + MAKE_A_MODEL
)
LEAKING = FILLING.replace('"all"', '"/job/result"')  # the one file on the disk of the machine
CASES = {
    "scaled": script(
        MAKE_A_MODEL,
        files={"dataset": "2", "requirements": "numpy>=2\nonnx # of the image\n"},
        state="done",
        reason=None,
    ),
    "enclosed": script(ENCLOSED, state="done", reason=None, logs="no network:"),
    "flowers": Case(
        {"declaration": DECLARATION, "dataset": iris()}, state="done", reason=None, logs="export"
    ),
    "raising": script("raise ValueError('no rows')", says="code 1", logs="no rows"),
    "killing": script("import os\nos.kill(1, 9)\nos.kill(os.getpid(), 9)", says="signal 9"),
    "nothing": script("print('done')", reason="output", says="no model"),
    "empty": script("import os; open(os.environ['OUTPUT'], 'w')", reason="output", says="empty"),
    "too-large": script(WRITING, reason="output", says=f"{MODEL_BYTES} are admitted"),
    "no-model": script(
        "import os; open(os.environ['OUTPUT'], 'w').write('x')", reason="audit", says="ONNX"
    ),
    "lacking": script(
        "print(1)",
        files={"requirements": "numpy>=2\nnumpy<1\ntensorflow\n-r x"},
        reason="requirements",
        says="numpy<1 (here is ",
    ),
    "installed": script(
        INSTALLED,
        files={"requirements": "probe>=1\nnumpy>=2\n"},
        state="done",
        reason=None,
        logs="probe 1.0 on 2.0",
    ),
    "not-to-be-had": script(
        "print(1)",
        files={"requirements": "probe>=2\nabsent\nnumpy>=2\nprobe-base\n"},
        reason="requirements",
        says="neither the image nor the wheelhouse has what is required: "
        "probe>=2 (not installed); absent (not installed)",
    ),
    "half-to-be-had": script(
        "print(1)",
        files={"requirements": "broken\n"},
        reason="requirements",
        says="the wheelhouse has what is required, together: broken (not installed)",
        logs="absent-here",
    ),
    "logging": script(GROWING, reason="log", says=f"more than {LOG_BYTES} bytes"),
    "filling": script(FILLING, reason="disk", says="full"),
    "leaking": script(LEAKING, logs="File too large"),
    "eating": script("x = b'x' * (4 << 30)\nprint(len(x))", reason="memory", says="memory"),
    "calling": script("print(1)", texts={"network": "true"}, reason="runner", says="network"),
    "prose": Case({"declaration": "- a\n- b", "dataset": "x"}, says="not the block of a model"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_model(root, IRIS)
    return root


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with PLACES[request.param](tmp_path_factory.mktemp("place")) as place:
        try:
            yield place
        finally:
            place.end()
            if (log := place.folder / "runner.log").exists():
                print(log.read_text()[-9000:])


@pytest.fixture(scope="module")
def desk(place: Place, models: Path) -> Iterator[Desk]:
    with place.service(models) as desk:
        yield desk


@pytest.fixture(scope="module")
def ids(place: Place, desk: Desk) -> dict[str, str]:
    """All cases, ordered at once, run beside each other, to their ends."""
    ids = {name: desk.order(name, case.files, **case.texts) for name, case in CASES.items()}
    with place.runner():
        for id in ids.values():
            desk.ended(id)
        wait_until(lambda: not place.containers(), seconds=60, what="no container is left")
    return ids


@pytest.mark.parametrize("name", CASES)
def test_a_job_ends_in_a_clear_state(desk: Desk, ids: dict[str, str], name: str) -> None:
    case, job = CASES[name], desk.ended(ids[name])
    log = desk.log(ids[name])
    assert (job["state"], job["reason"]) == (case.state, case.reason), (job, log[-2000:])
    assert case.says in job["detail"]
    assert case.logs in log
    assert len(log) <= LOG_BYTES


def test_what_a_job_has_made_is_served_and_says_which_job(desk: Desk, ids: dict[str, str]) -> None:
    job = desk.ended(ids["scaled"])
    url = desk.service.url
    answer = calling.post(f"{url}/v1/models/scaled/predict", json={"values": [1, 2]}, timeout=60)
    assert answer.json()["values"] == [2, 4]
    assert answer.json()["version"] == job["version"]
    card = calling.get(f"{url}/v1/models/scaled", timeout=60).json()
    assert card["job"]["id"] == job["id"]
    assert card["job"]["files"] == job["files"]
    assert card["job"]["image"] == job["image"] != ""
    flower = {"petal length (cm)": 1.4, "petal width (cm)": 0.2}
    desk.ended(ids["flowers"])
    typed = calling.post(f"{url}/v1/models/flowers/predict", json=flower, timeout=60)
    assert typed.json()["species"] == "setosa"


def test_a_fork_bomb_and_an_endless_loop_end_with_their_time(place: Place, desk: Desk) -> None:
    endless = {"bomb": BOMB, "loop": "while True: pass"}
    ids = [desk.order(name, {"script": text}) for name, text in endless.items()]
    with place.runner(seconds=2, cpus=1):
        for id in ids:
            job = desk.ended(id)
            assert (job["state"], job["reason"]) == ("failed", "time"), (job, desk.log(id)[-999:])
    assert place.containers() == []


def test_a_job_outlives_a_killed_runner_and_is_cancelled(place: Place, desk: Desk) -> None:
    id = desk.order("counting", {"script": COUNTING})
    waiting = desk.order("waiting", {"script": COUNTING})
    with place.runner(at_once=1) as runner:
        lines = lines_of(desk, id)
        assert next(lines) == "0"
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        assert len(place.containers()) == 1
        assert desk.job(waiting)["state"] == "queued"
        assert desk.ask("DELETE", f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    said = ["0"]
    with place.runner(at_once=1):
        while len(said) < 40:
            said.append(next(lines))
        assert desk.ask("DELETE", f"/v1/jobs/{id}").json()["cancelling"]
        said += lines  # which end with the job
        assert said == [str(number) for number in range(len(said))]
        assert desk.ended(id)["state"] == "cancelled"
    assert desk.ask("DELETE", f"/v1/jobs/{id}").status_code == 409
    assert place.containers() == []


def test_an_ending_that_was_written_holds_though_its_runner_was_killed_just_then(
    place: Place, desk: Desk
) -> None:
    id = desk.order("ended", {"script": "print('again')"})
    spool = Spool(place.folder / "state" / "jobs")
    job = spool.claim()
    assert job is not None and job.order.id == id
    ending = Ending(state="failed", reason="log", detail="too long", ended=datetime.now(UTC))
    write_document(spool.root / "running" / id / ENDING_FILE, ending)
    with place.runner():
        assert desk.ended(id)["detail"] == "too long"
    assert desk.log(id) == ""


def test_a_job_is_served_by_the_next_service_where_it_ends_without_one(
    place: Place, models: Path, tmp_path: Path
) -> None:
    place = place.elsewhere(tmp_path)
    given = {"model_dir": models, "state_dir": tmp_path / "state", "keys": LINE, "jobs": True}
    settings = Settings.model_validate(given | {"prediction_log": False})
    files = {"script": MAKE_A_MODEL, "dataset": "2"}
    with TestClient(create_app(settings), headers=HEADERS) as service:
        answer = service.post("/v1/jobs", data={"model": "later"}, files=files)
        path = f"/v1/jobs/{answer.json()['id']}"
    with place.runner():
        made = tmp_path.joinpath("state", "jobs", "checking", answer.json()["id"], "model.onnx")
        wait_until(made.exists, seconds=120, what="the model is made")
    with TestClient(create_app(settings), headers=HEADERS) as service:
        wait_until(lambda: service.get(path).json()["state"] == "done", seconds=60, what="served")
    assert place.containers() == []


def lines_of(desk: Desk, id: str) -> Iterator[str]:
    """Follow the log of a job."""
    url = f"{desk.service.url}/v1/jobs/{id}/log?follow=true"
    with calling.stream("GET", url, headers=HEADERS, timeout=60) as answer:
        yield from answer.iter_lines()
