"""The engine of Kubernetes before the stand-in: files in and out, logs, and whatever ends a pod."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.test_image import BASE
from tests.images import derived, need_docker
from tests.jobs.engines import IN_A_REGISTRY
from tests.kubernetes.pods import need_mounts
from tests.kubernetes.stand_in import StandIn, cluster
from tests.serving import ROOT
from tests.waiting import wait_until
from treeline.errors import AgentError
from treeline.jobs.documents import new_id
from treeline.runner.engines import Status, Task
from treeline.runner.kubernetes import KubernetesEngine
from treeline.runner.settings import RunnerSettings

COPYING = "import os, shutil; shutil.copy(os.environ['DATASET'], os.environ['OUTPUT'])"
COUNTING = "import time\nfor n in range(60): print(n, flush=True); time.sleep(0.1)"
WAITING = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with the first process of a job, and no library."""
    need_docker()
    if reason := need_mounts():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    shutil.copytree(
        ROOT / "src" / "treeline", folder / "treeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    with derived(BASE, folder, "COPY treeline /src/treeline", "ENV PYTHONPATH=/src") as name:
        yield name


@pytest.fixture
def standing(image: str, tmp_path: Path) -> Iterator[StandIn]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with cluster(folder, {IN_A_REGISTRY: image}, {}) as standing:
        yield standing


def engine_of(standing: StandIn, *, image: str = IN_A_REGISTRY, **own: Any) -> KubernetesEngine:
    access = {"server": standing.url, "token_file": standing.token_file}
    given = access | {"ca_file": standing.ca_file, "start_seconds": 60} | own
    limits = {"seconds": 60, "memory_bytes": 128 << 20, "disk_bytes": 32 << 20, "cpus": 0.5}
    return KubernetesEngine(
        RunnerSettings.model_validate(
            {"spool": "/x", "image": image, "engine": "kubernetes", "kubernetes": given}
            | {"limits": limits | ({"seconds": 1} if own.get("keep_seconds") else {})}
        )
    )


def task_of(folder: Path, script: str, **files: bytes) -> Task:
    """Return a task with its files in place, as a runner has them."""
    inputs = folder / "task" / "input"
    inputs.mkdir(parents=True)
    for name, content in {"script.py": script.encode(), **files}.items():
        (inputs / name).write_bytes(content)
    (folder / "task" / "result").touch()
    return Task(new_id(), "script", "mine", inputs, folder / "task" / "result", network=False)


def seen(engine: KubernetesEngine, id: str, until: Callable[[Status], bool]) -> Status:
    """Look at a task as a runner does until it is so, and return how it is."""
    for _ in range(600):
        status = engine.status(id)
        assert status is not None
        if until(status):
            return status
        time.sleep(0.1)
    raise AssertionError(f"it stays {status}")


def over(status: Status) -> bool:
    return not status.running


def begun(engine: KubernetesEngine, standing: StandIn, task: Task) -> str:
    """Start a task, wait until its container runs, and return the name of its Job."""
    engine.start(task)

    def runs() -> bool:
        engine.status(task.id)
        [pod] = standing.pods.values()
        return "running" in pod.document()["status"]["containerStatuses"][0]["state"]

    wait_until(runs, seconds=120, what="the task runs")
    [name] = standing.jobs
    return name


def test_inputs_come_into_a_pod_and_its_model_out_of_it(standing: StandIn, tmp_path: Path) -> None:
    engine, rows = engine_of(standing), bytes(range(256)) * 4096 * 3
    task = task_of(tmp_path, COPYING, dataset=rows)
    engine.start(task)
    engine.start(task)  # as a runner does that was killed in between
    assert engine.ids() == {task.id}
    status = seen(engine, task.id, over)
    assert (status.exit_code, status.reason) == (0, None), b"".join(engine.log(task.id))
    assert task.result.read_bytes() == rows
    assert engine_of(standing).status(new_id()) is None
    engine.remove(task.id)
    engine.remove(task.id)
    assert (engine.ids(), standing.pods, engine.status(task.id)) == (set(), {}, None)
    assert list(engine.log(task.id)) == []


def test_another_runner_takes_the_model_of_a_job_that_it_did_not_start(
    standing: StandIn, tmp_path: Path
) -> None:
    task = task_of(tmp_path, COPYING, dataset=b"rows")
    begun(engine_of(standing), standing, task)
    after = engine_of(standing)
    after.start(task)
    assert seen(after, task.id, over).exit_code == 0
    assert task.result.read_bytes() == b"rows"


def test_a_log_goes_on_where_it_was_cut_off_with_another_token_too(
    standing: StandIn, tmp_path: Path
) -> None:
    engine, task = engine_of(standing), task_of(tmp_path, COUNTING)
    engine.start(task)
    pieces: list[bytes] = []
    reading = threading.Thread(target=lambda: pieces.extend(engine.log(task.id)), daemon=True)
    reading.start()
    seen(engine, task.id, lambda _: b"3\n" in b"".join(pieces))
    standing.rotate()
    standing.cut_logs()
    standing.faults = 2  # too busy, twice
    seen(engine, task.id, over)
    reading.join(60)
    lines = b"".join(pieces).decode().splitlines()
    assert lines[:60] == [str(number) for number in range(60)]
    assert lines[60:] == ["treeline: the script has written no model to the path in OUTPUT"]


@pytest.mark.parametrize(("disrupted", "reason"), [(False, "disk"), (True, "runner")])
def test_an_evicted_job_says_whether_it_wrote_too_much_or_its_node_had_no_room(
    standing: StandIn, tmp_path: Path, disrupted: bool, reason: str
) -> None:
    engine, task = engine_of(standing), task_of(tmp_path, WAITING)
    standing.evict(begun(engine, standing, task), disrupted=disrupted)
    status = seen(engine, task.id, over)
    assert status.reason == reason
    assert ("exceeds the limit" in status.detail) is not disrupted


def test_a_job_whose_node_is_lost_ends_by_the_machine(standing: StandIn, tmp_path: Path) -> None:
    engine, task = engine_of(standing), task_of(tmp_path, WAITING)
    standing.drop(begun(engine, standing, task))
    status = seen(engine, task.id, over)
    assert (status.reason, "BackoffLimitExceeded" in status.detail) == ("runner", True)
    assert list(engine.log(task.id)) == []


def test_kubernetes_ends_a_job_that_nobody_else_does(standing: StandIn, tmp_path: Path) -> None:
    engine = engine_of(standing, keep_seconds=1, start_seconds=20)
    task = task_of(tmp_path, WAITING)
    engine.start(task)
    [job] = standing.jobs.values()
    job["spec"]["activeDeadlineSeconds"] = 1
    status = seen(engine, task.id, over)
    assert (status.reason, "longer than specified deadline" in status.detail) == ("time", True)


def test_an_image_that_is_not_to_be_had_ends_a_job_after_a_while(
    standing: StandIn, tmp_path: Path
) -> None:
    absent = "registry.example/absent@sha256:" + "1" * 64
    engine = engine_of(standing, image=absent, start_seconds=3)
    task = task_of(tmp_path, WAITING)
    engine.start(task)
    assert seen(engine, task.id, lambda _: True).running
    status = seen(engine, task.id, over)
    assert status.reason == "runner"
    assert "not begun within 3 seconds: ImagePullBackOff: Back-off pulling image" in status.detail


def test_what_is_wrong_with_the_access_is_said_with_its_place(
    standing: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine_of(standing).answers()
    stranger = tmp_path / "stranger"
    stranger.write_text("nobody")
    engine = engine_of(standing, token_file=stranger)
    assert not engine.answers()
    with pytest.raises(AgentError, match="401 Unauthorized"):
        engine.ids()
    with pytest.raises(AgentError, match=r"403 .* cannot list resource"):
        engine_of(standing, namespace="default").ids()
    with pytest.raises(AgentError, match=r"token_file .*absent"):
        engine_of(standing, token_file=tmp_path / "absent").ids()
    with pytest.raises(AgentError, match=r"ca_file .*stranger"):
        engine_of(standing, ca_file=stranger).ids()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AgentError, match="no cluster is around this process"):
        engine_of(standing, server="").ids()


def test_a_runner_needs_all_that_its_role_allows_and_nothing_else(
    standing: StandIn, tmp_path: Path
) -> None:
    engine, task = engine_of(standing), task_of(tmp_path, COPYING, dataset=b"x")
    engine.start(task)
    seen(engine, task.id, over)
    assert b"".join(engine.log(task.id)) == b""
    engine.ids()
    engine.remove(task.id)
    [role] = [standing._role]
    allowed = {
        (verb, each)
        for rule in role["rules"]
        for each in rule["resources"]
        for verb in rule["verbs"]
    }
    assert set(standing.asked) | {("create", "pods/exec")} == allowed
