"""Stages that DVC starts are forked from one process, and do what they do without it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NAME, PARAMS, ROWS, Project
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux alone")

STAGE = f"{sys.executable} -m treeline.stages"
SERVERS = "grep -l treeline.stages.forking /proc/[0-9]*/cmdline 2> /dev/null"
# As DVC does: stages one after the other, started by one process.
ONCE = f"{STAGE} code && {STAGE} digest"
BEGIN = f"{STAGE} collect {NAME} && {STAGE} prepare {NAME}"

JUDGED = ("train", "evaluate", "gate")


# DVC does not carry the name of a stage; what it starts does.
NAMED = "export DVC_STAGE='a stage'"


def shell(script: str, *, fork: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a script as DVC runs commands; `fork` says whether stages may be forked."""
    return subprocess.run(
        ["sh", "-c", f"{NAMED}; {script}; exit $?"],
        env={**os.environ, "TREELINE_FORK": "yes" if fork else "no"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the stages that run once have made, which are never forked."""
    root = tmp_path_factory.mktemp("inputs")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    subprocess.run(["sh", "-c", ONCE], cwd=root, check=True)
    return root / "model"


@pytest.fixture
def digested(project: Project, inputs: Path) -> Project:
    """Return a scratch repository folder in which these stages have run."""
    shutil.copytree(inputs, project.root / "model")
    return project


def servers_of(root: Path) -> set[Path]:
    """Return the servers that run in a folder, below /proc."""
    listed = subprocess.run(["sh", "-c", SERVERS], capture_output=True, text=True, check=False)
    found = {Path(line).parent for line in listed.stdout.splitlines()}
    return {each for each in found if (each / "cwd").exists() and (each / "cwd").samefile(root)}


def made(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.glob("*/seedlings/*")
        if path.is_file() and path.name != "seconds.json"
    }


def test_a_fork_makes_the_same_bytes_and_says_the_same(project: Project) -> None:
    script = " && ".join([ONCE, BEGIN, *(f"{STAGE} {each} {NAME}" for each in JUDGED)])
    alone = shell(script, fork=False)
    before = made(project.root)
    assert alone.returncode == 0, alone.stderr
    assert len(before) > 5
    forked = shell(f"{script} && {{ {SERVERS}; true; }}")  # grep fails where a process has ended
    assert forked.returncode == 0, forked.stderr
    assert made(project.root) == before
    said, _, server = forked.stdout.partition("/proc/")
    assert server.count("\n") >= 1
    assert [line.split(",")[0] for line in said.splitlines()][:4] == [
        line.split(",")[0] for line in alone.stdout.splitlines()
    ][:4]


def test_the_server_ends_with_the_process_that_it_works_for(digested: Project) -> None:
    assert shell(BEGIN).returncode == 0
    wait_until(lambda: not servers_of(digested.root), seconds=60, what="the server has ended")


def test_a_shell_around_each_stage_keeps_the_one_server(digested: Project) -> None:
    """Where the environment names no SHELL, DVC starts one that lives as long as a stage."""
    stages = (f"sh -c '{STAGE} {each}; exit $?'" for each in (f"collect {NAME}", f"prepare {NAME}"))
    script = " && ".join((NAMED, *stages, "echo made && read end"))
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as dvc:
        assert dvc.stdout is not None
        assert "made\n" in dvc.stdout, "a stage failed"
        [server] = servers_of(digested.root)
        assert (server / "cmdline").read_text().split("\0")[-2] == str(dvc.pid)
        dvc.communicate("\n")


def test_a_fork_that_fails_gives_its_error_and_its_exit_code(digested: Project) -> None:
    source = digested.root / "dataset/sources/file/seedlings.csv"
    source.write_text(ROWS.replace("Acer", "Acre", 1) + "\n")
    results = [shell(BEGIN, fork=fork) for fork in (False, True)]
    assert [each.returncode for each in results] == [1, 1]
    assert "Acre" in results[0].stderr and results[0].stderr == results[1].stderr


def test_who_ends_a_stage_ends_its_fork(digested: Project) -> None:
    """The process that DVC started hands the signal on."""
    source = digested.root / "dataset/sources/file/seedlings.csv"
    source.unlink()
    os.mkfifo(source)  # whoever reads it waits
    script = f"{NAMED}; {STAGE} collect {NAME} & echo $!; wait $!; echo $?"
    with subprocess.Popen(
        ["sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        client = int(run.stdout.readline())
        both = "there are a server and its fork"
        wait_until(lambda: len(servers_of(digested.root)) == 2, seconds=60, what=both)
        os.kill(client, signal.SIGTERM)
        assert int(run.stdout.readline()) == 128 + signal.SIGTERM
    wait_until(lambda: not servers_of(digested.root), seconds=60, what="the server has ended")
