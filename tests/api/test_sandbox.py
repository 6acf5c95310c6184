"""What runs apart from a worker answers; whatever it does instead, it does to nobody else."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from api.errors import RunCrashedError, RunTooLargeError, RunTooLongError, TooBusyError
from api.sandbox.limits import Limits
from api.sandbox.process import Plan
from api.sandbox.sandbox import Sandbox
from tests.api import sandboxed
from tests.api.sandboxed import Parcel
from tests.waiting import wait_until
from treeline.errors import ArtifactRejectedError, InvalidInputError, TreelineError

MEGABYTE = 1 << 20
LIMITS = Limits(
    memory_bytes=256 * MEGABYTE,
    memory_setting="API_RUN_MEMORY_BYTES",
    seconds_setting="API_RUN_SECONDS",
    reply_bytes=8 * MEGABYTE,
)
PLAN = Plan(LIMITS, imports=("tests.api.sandboxed",), classes=(Parcel,))
SECRET = "s3cret-of-the-worker"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One process, so that whoever comes next has the one that was harmed, or its successor."""
    made = Sandbox("tests", PLAN, most_waiting=2)
    yield made
    made.stop()


def called(sandbox: Sandbox, function: Callable[..., object], *arguments: object) -> object:
    return sandbox.call(function, *arguments, deadline_seconds=5)


VALUES = {
    "nothing": None,
    "plain values": [1, -2.5, True, "ä\u2028", float("inf")],
    "a tuple in a dict": {"a": (1, 2), 3: {"b": []}},
    "bytes": b"\x00\xff" * 1000,
    "a path": Path("/tmp/x"),
    "an object": Parcel("p", np.arange(6, dtype=np.int64).reshape(2, 3), (b"x",)),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_a_call_gives_comes_back_as_it_was(sandbox: Sandbox, value: object) -> None:
    given = called(sandbox, sandboxed.echo, value)
    assert type(given) is type(value)
    if isinstance(value, Parcel):
        assert isinstance(given, Parcel)
        assert (given.label, given.more) == (value.label, value.more)
        np.testing.assert_array_equal(given.numbers, value.numbers)
    else:
        assert given == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.array([[True], [False]]),
        np.array(7, dtype=np.uint64),
        np.zeros((0, 3), dtype=np.float16),
        np.arange(10, dtype=np.int32)[::2],
        np.array([["a", ""], ["ü", "x\n"]], dtype=object),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_come_back_as_they_were(sandbox: Sandbox, array: np.ndarray) -> None:
    given = called(sandbox, sandboxed.echo, array)
    assert isinstance(given, np.ndarray)
    assert given.dtype == array.dtype
    np.testing.assert_array_equal(given, array)


def test_an_error_of_ours_comes_back_with_its_problems(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidInputError) as caught:
        called(sandbox, sandboxed.refuse)
    (problem,) = caught.value.problems
    assert (problem.place, problem.message) == ("Soil", "is no soil")
    assert problem.admitted == ("clay", "sand")
    assert problem.value == "x" * 200
    with pytest.raises(ArtifactRejectedError, match="it has no signature"):
        called(sandbox, sandboxed.reject)


def test_any_other_error_is_one_of_the_service(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'unforeseen'"):
        called(sandbox, sandboxed.fail)


def test_a_class_that_was_not_declared_does_not_come_back(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="cannot carry Stranger"):
        called(sandbox, sandboxed.stranger)


# --- what a stranger's graph may do ------------------------------------------------------------

HARM: dict[str, tuple[Callable[..., object], tuple[object, ...], type[TreelineError], str]] = {
    "it crashes": (sandboxed.crash, (), RunCrashedError, "SIGSEGV"),
    "it never ends": (sandboxed.loop, (), RunTooLongError, "API_RUN_SECONDS"),
    "it waits for ever": (sandboxed.wait, (600,), RunTooLongError, "API_RUN_SECONDS"),
    "it takes all memory": (sandboxed.take, (1 << 34,), RunTooLargeError, "API_RUN_MEMORY_BYTES"),
    "it forges a pickle": (
        sandboxed.forged,
        ([b"\x80\x05cos\nsystem\n"],),
        RunCrashedError,
        "broke",
    ),
    "it says it has 2^62 bytes": (sandboxed.forged, ([], [1 << 62], 1), RunCrashedError, "broke"),
    "it says it has 2^62 parts": (sandboxed.forged, ([], None, 1 << 62), RunCrashedError, "broke"),
    "it has no part": (sandboxed.forged, ([],), RunCrashedError, "broke"),
    "its document is too long": (
        sandboxed.forged,
        ([b'"' + b"x" * (2 * MEGABYTE) + b'"'],),
        RunCrashedError,
        "broke",
    ),
    "it nests without end": (
        sandboxed.forged,
        ([b'{"value":' + b'{"list":[' * 5000],),
        RunCrashedError,
        "broke",
    ),
    "it refers to no buffer": (
        sandboxed.forged,
        ([b'{"value": {"bytes": 3}}'],),
        RunCrashedError,
        "broke",
    ),
    "its array is longer than its bytes": (
        sandboxed.forged,
        ([b'{"value": {"array": ["float32", [1000000000], 0]}}', b"1234"],),
        RunCrashedError,
        "broke",
    ),
    "its array holds objects": (
        sandboxed.forged,
        ([b'{"value": {"array": ["O", [1], 0]}}', b"12345678"],),
        RunCrashedError,
        "broke",
    ),
    "it names a class of Python": (
        sandboxed.forged,
        ([b'{"value": {"object": ["Popen", {"args": "true"}]}}'],),
        RunCrashedError,
        "broke",
    ),
    "it names an error that is none of ours": (
        sandboxed.forged,
        ([b'{"error": "SystemExit", "message": "0"}'],),
        RunCrashedError,
        "broke",
    ),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_whatever_a_call_does_it_ends_with_an_error_and_the_next_one_is_answered(
    sandbox: Sandbox,
    harm: tuple[Callable[..., object], tuple[object, ...], type[TreelineError], str],
) -> None:
    function, arguments, error, word = harm
    with pytest.raises(error, match=word):
        sandbox.call(function, *arguments, deadline_seconds=1)
    assert called(sandbox, sandboxed.echo, "next") == "next"


def test_a_reply_longer_than_admitted_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(RunTooLargeError, match=r"takes 9437[0-9]+ bytes, and may take"):
        called(sandbox, sandboxed.echo, b"x" * (9 * MEGABYTE))
    with pytest.raises(RunTooLargeError, match="bytes beside its arrays, and may take 1048576"):
        called(sandbox, sandboxed.echo, "x" * (2 * MEGABYTE))
    with pytest.raises(RunTooLargeError, match="bytes of texts, and may take 8388608"):
        called(sandbox, sandboxed.echo, np.array(["x" * (9 * MEGABYTE)], dtype=object))
    assert called(sandbox, sandboxed.echo, "next") == "next"


def test_a_forged_pickle_runs_nothing_in_the_worker(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(RunCrashedError):
        sandbox.call(sandboxed.forged_pickle, tmp_path / "made", deadline_seconds=1)
    assert not (tmp_path / "made").exists()


def test_a_call_that_ends_the_interpreter_only_fails(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="SystemExit"):
        called(sandbox, sandboxed.leave)
    assert called(sandbox, sandboxed.echo, 1) == 1


# --- what it can see and take ------------------------------------------------------------------


@contextmanager
def new_sandbox() -> Iterator[Sandbox]:
    """Give a sandbox whose process is started now, not before."""
    made = Sandbox("tests", PLAN)
    try:
        yield made
    finally:
        made.stop()


def test_the_environment_of_the_worker_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with new_sandbox() as sandbox:
        there = called(sandbox, sandboxed.environment)
    assert isinstance(there, dict)
    assert SECRET not in str(there)
    assert "PATH" in there


def test_it_stands_back_and_is_limited(sandbox: Sandbox, tmp_path: Path) -> None:
    there = called(sandbox, sandboxed.limits)
    assert there == {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NPROC": 0,
    }
    niceness = called(sandbox, sandboxed.niceness)
    assert isinstance(niceness, int)
    assert niceness > os.nice(0)
    with pytest.raises(RuntimeError, match="OSError"):
        called(sandbox, sandboxed.write, tmp_path / "file")


def test_it_leaves_no_core_file_whatever_its_worker_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with new_sandbox() as sandbox:
            there = called(sandbox, sandboxed.limits)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert isinstance(there, dict) and there["RLIMIT_CORE"] == 0


def test_it_has_no_privileges_and_gets_none(sandbox: Sandbox) -> None:
    assert called(sandbox, sandboxed.privileges) == {"CapEff": 0, "CapPrm": 0, "NoNewPrivs": 1}


def test_it_starts_no_processes_of_its_own() -> None:
    program = """
        limits.apply(Limits(1 << 28, "A", "B", spawning=sys.argv[1] == "spawning"))
        print(sandboxed.start_more(5))
    """
    assert said_by_anybody(program, "spawning") == "5"
    assert said_by_anybody(program, "alone") == "0"


def test_a_hidden_worker_cannot_be_looked_into() -> None:
    """The environment is read below /proc by whoever is the same user, unless it is hidden."""
    program = """
        limits.prctl(limits.PR_SET_DUMPABLE, 1)  # as if it had been this user from the start
        if sys.argv[1] == "hidden":
            limits.hide()
        if not os.fork():
            print(sandboxed.environment_of(os.getppid()))
    """
    assert SECRET in said_by_anybody(program, "open"), "the test itself sees nothing"
    assert said_by_anybody(program, "hidden") == "PermissionError"


def said_by_anybody(program: str, argument: str) -> str:
    """Return what a program prints that is not run by root, who is beyond some limits."""
    start = """
        import os, sys
        from api.sandbox import limits
        from api.sandbox.limits import Limits
        from tests.api import sandboxed
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(program), argument],
        env={**os.environ, "API_KEYS": SECRET, "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


# --- whose work it is --------------------------------------------------------------------------


def test_work_ends_when_its_caller_goes(sandbox: Sandbox, tmp_path: Path) -> None:
    killed = sandbox.state().killed

    async def give_up() -> None:
        task = asyncio.ensure_future(
            sandbox.run(sandboxed.note_and_loop, tmp_path, deadline_seconds=60)
        )
        while not list(tmp_path.iterdir()):
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    (process,) = (int(path.name) for path in tmp_path.iterdir())
    wait_until(lambda: gone(process), seconds=5, what="the process of a call given up is gone")
    assert called(sandbox, sandboxed.echo, "next") == "next"
    assert sandbox.state().killed == killed + 1


def test_a_call_given_up_while_it_waits_never_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    async def give_up() -> None:
        first = asyncio.ensure_future(sandbox.run(sandboxed.wait, 0.5, deadline_seconds=5))
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(
            sandbox.run(sandboxed.note_and_loop, tmp_path, deadline_seconds=60)
        )
        await asyncio.sleep(0.1)
        second.cancel()
        assert await first == "awake"

    asyncio.run(give_up())
    assert called(sandbox, sandboxed.echo, "next") == "next"
    assert not list(tmp_path.iterdir())


def test_when_too_many_wait_the_others_are_told_to_come_back(sandbox: Sandbox) -> None:
    async def crowd() -> list[object]:
        calls = [sandbox.run(sandboxed.wait, 0.3, deadline_seconds=5) for _ in range(5)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    answers = asyncio.run(crowd())
    assert answers[:3] == ["awake"] * 3
    assert all(isinstance(each, TooBusyError) for each in answers[3:])
    assert isinstance(answers[3], TooBusyError)
    assert answers[3].headers["Retry-After"] == "2"


def test_a_process_that_died_between_two_calls_is_replaced(sandbox: Sandbox) -> None:
    process = called(sandbox, sandboxed.number_of_process)
    assert isinstance(process, int)
    os.kill(process, signal.SIGKILL)
    assert called(sandbox, sandboxed.number_of_process) != process


def test_a_call_is_tried_again_as_often_as_was_declared_and_no_more(tmp_path: Path) -> None:
    sandbox = Sandbox("tests", PLAN, tries=2)
    try:
        with pytest.raises(RunCrashedError):
            called(sandbox, crash_and_count, tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        sandbox.stop()


def crash_and_count(place: Path) -> None:
    (place / str(os.getpid())).mkdir()
    sandboxed.crash()


def test_it_tells_what_it_is_at(sandbox: Sandbox) -> None:
    async def look() -> None:
        calls = [asyncio.ensure_future(sandbox.run(sandboxed.wait, 1, deadline_seconds=5))]
        while not sandbox.state().running:
            assert not calls[0].done()
            await asyncio.sleep(0.01)
        calls.append(asyncio.ensure_future(sandbox.run(sandboxed.wait, 0, deadline_seconds=5)))
        await asyncio.sleep(0.2)
        state = sandbox.state()
        assert (state.running, state.waiting) == (1, 1)
        assert 0.1 < state.oldest_seconds < 2
        await asyncio.gather(*calls)

    asyncio.run(look())
    wait_until(lambda: sandbox.state().running == 0, seconds=2, what="nothing runs")
    assert sandbox.state().oldest_seconds == 0


def test_stopping_ends_what_runs_and_leaves_no_process(tmp_path: Path) -> None:
    async def stop() -> None:
        sandbox = Sandbox("tests", PLAN)
        with pytest.raises(TooBusyError):
            async with sandbox.running():
                task = asyncio.ensure_future(
                    sandbox.run(sandboxed.note_and_loop, tmp_path, deadline_seconds=60)
                )
                while not list(tmp_path.iterdir()):
                    assert not task.done()
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(sandbox.stop)
                await task
        with pytest.raises(TooBusyError):
            await sandbox.run(sandboxed.echo, 1, deadline_seconds=1)

    asyncio.run(stop())
    (process,) = (int(path.name) for path in tmp_path.iterdir())
    assert gone(process)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_worker_dies_what_it_runs_dies_too(how: signal.Signals, tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from api.sandbox.limits import Limits
        from api.sandbox.sandbox import Sandbox
        from api.sandbox.process import Plan
        from tests.api import sandboxed
        sandbox = Sandbox("tests", Plan(Limits(1 << 28, "A", "B")))
        sandbox.call(sandboxed.note_and_loop, Path(sys.argv[1]), deadline_seconds=600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    worker = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."})
    try:
        wait_until(lambda: bool(list(tmp_path.iterdir())), seconds=20, what="it loops")
        worker.send_signal(how)
        worker.wait(10)
    finally:
        worker.kill()
    (process,) = (int(path.name) for path in tmp_path.iterdir())
    wait_until(lambda: gone(process), seconds=5, what="the process of a dead worker is gone")


def test_a_warm_pool_answers_at_once() -> None:
    sandbox = Sandbox("tests", PLAN)
    sandbox.warm()
    try:
        called(sandbox, sandboxed.echo, 1)
        started = time.monotonic()
        called(sandbox, sandboxed.echo, 1)
        assert time.monotonic() - started < 0.2
    finally:
        sandbox.stop()


def gone(process: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2]
    except OSError:
        return True
    return state.split()[0] in "ZX"
