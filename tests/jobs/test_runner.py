"""A runner before any container: its settings, whose folder it writes to, and what it copies."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from treeline.errors import ConfigError, JobError
from treeline.jobs.documents import Ending, Order, new_id
from treeline.jobs.spool import ENDING_FILE, INPUT, ORDER_FILE, Spool
from treeline.runner.engines import Status, Task
from treeline.runner.running import Runner, copied, prepare
from treeline.runner.settings import RunnerSettings

LIMITS = "[limits]\nmemory_bytes = "
CLUSTER = "engine = 'kubernetes'"
PINNED = f"spool = '/x'\nimage = 'x@sha256:{'0' * 64}'\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("image = 'x'", "spool"),
        ("spool = '/x'", "image"),
        ("spool = '/x'\nimage = 'x'\nengine = 'nomad'", "engine"),
        (f"spool = '/x'\nimage = 'x:1'\n{CLUSTER}", "image: 'x:1' is resolved by each node"),
        (f"{PINNED}wheelhouse = '/x'\n{CLUSTER}", "wheelhouse_claim"),
        (f"{PINNED}prefix = '{'x' * 21}'\n{CLUSTER}", "prefix: .* 20 characters"),
        (f"{PINNED}network = 'a b'\n{CLUSTER}", "network: 'a b' is no value of a label"),
        (f"{PINNED}{CLUSTER}\n[kubernetes]\nserver = 'http://x'", "kubernetes.server"),
        (f"spool = '/x'\nimage = 'x'\n{LIMITS}1", "limits.memory_bytes"),
        ("spool = '/x'\nimage = 'x'\nsocket = '/x'", "socket"),
        ("spool", "cannot be read"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_place(
    tmp_path: Path, text: str, place: str
) -> None:
    file = tmp_path / "runner.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=place):
        RunnerSettings.read(file)


def test_the_command_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "treeline", "runner", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/none.toml: no such file; docs/jobs.md shows one\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_runner_writes_to_no_folder_of_another_user(tmp_path: Path) -> None:
    """Whoever took over the service could lead a runner with more rights elsewhere."""
    settings = RunnerSettings(spool=tmp_path / "jobs", image="x", state_dir=tmp_path / "own")
    assert prepare(settings).root == tmp_path / "jobs"
    os.chown(tmp_path / "jobs", 10001, 10001)
    with pytest.raises(ConfigError, match="belongs to the user 10001, and this runner is 0"):
        prepare(settings)


def test_only_plain_files_are_copied_for_a_job(tmp_path: Path) -> None:
    plain, link, pipe = (tmp_path / name for name in ("plain", "link", "pipe"))
    plain.write_text("1")
    link.symlink_to(plain)
    os.mkfifo(pipe)
    assert copied(plain, tmp_path / "copy", mode=0o444) == 1
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o444
    with pytest.raises(JobError, match="link cannot be read: Too many levels of symbolic links"):
        copied(link, tmp_path / "other")
    with pytest.raises(JobError, match="no plain file"):
        copied(pipe, tmp_path / "other")
    with pytest.raises(FileExistsError):
        copied(plain, tmp_path / "copy")


class NoContainers:
    """An engine that nothing has been started with, and that starts nothing."""

    def __init__(self) -> None:
        self.started: list[Task] = []
        self.start_seconds = 0.0

    @classmethod
    def from_settings(cls, _: RunnerSettings) -> Self:
        return cls()

    def answers(self) -> bool:
        return True

    def image_id(self) -> str:
        return "sha256:0"

    def start(self, task: Task) -> None:
        self.started.append(task)

    def status(self, _: str) -> Status | None:
        return None

    def log(self, _: str) -> Iterator[bytes]:
        yield from ()

    def remove(self, _: str) -> None:
        """There is none."""

    def ids(self) -> set[str]:
        return set()


def ordered(spool: Spool) -> Path:
    """Queue a job with a script, and return its folder."""
    spool.create()
    with spool.draft(new_id()) as draft:
        (draft / INPUT / "script.py").write_text("1")
        order = Order(
            id=draft.name,
            owner="ann",
            model="mine",
            kind="script",
            received=datetime.now(UTC),
            files={"script.py": "0" * 64},
        )
        spool.submit(draft, order)
    return spool.root / "queued" / draft.name


def removed(job: Path) -> None:
    (job / INPUT / "script.py").unlink()


def piped(job: Path) -> None:
    removed(job)
    os.mkfifo(job / INPUT / "script.py")


def linked(job: Path) -> None:
    """Lead the whole folder elsewhere, where there is a file of that name."""
    (job / INPUT).rename(job.parents[2] / "elsewhere")
    (job / INPUT).symlink_to(job.parents[2] / "elsewhere")


def without_order(job: Path) -> None:
    (job / ORDER_FILE).unlink()


@pytest.mark.parametrize("harm", [removed, piped, linked, without_order])
def test_a_job_with_broken_files_fails_and_lets_the_others_run(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """One that is taken up again for ever would keep the only place of a runner."""
    settings = RunnerSettings(spool=tmp_path / "jobs", image="x", state_dir=tmp_path / "own")
    spool, engine = prepare(settings), NoContainers()
    job = ordered(spool)
    harm(job)
    runner = Runner(settings, spool, engine)
    for _ in range(2):
        with ThreadPoolExecutor(1) as threads:
            runner.look(threads)
    ending = Ending.model_validate_json((spool.root / "ended" / job.name / ENDING_FILE).read_text())
    assert (ending.state, ending.reason) == ("failed", "runner")
    assert engine.started == []
    ordered(spool)
    with ThreadPoolExecutor(1) as threads:
        runner.look(threads)
    assert [task.model for task in engine.started] == ["mine"]


def test_a_link_is_no_job(tmp_path: Path) -> None:
    """What a runner writes beside a job would go to where it leads."""
    spool = Spool(tmp_path / "jobs")
    job = ordered(spool)
    job.rename(tmp_path / "elsewhere")
    job.symlink_to(tmp_path / "elsewhere")
    assert spool.claim() is None
    assert spool.ids("queued", "running") == []


def test_one_runner_at_a_time_is_at_a_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.create()
    with (
        spool.locked("runner-lock", wait=False) as first,
        Spool(tmp_path).locked("runner-lock", wait=False) as second,
    ):
        assert (first, second) == (True, False)


def test_the_first_process_of_a_job_imports_no_library() -> None:
    """It comes before each job: what it imports, each job waits for and pays for."""
    heavy = ("numpy", "pandas", "pydantic", "ruamel", "treeline.contract")
    program = f"import sys, treeline.jobs.inside; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
