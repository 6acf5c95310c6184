"""`dvc repro`, run for a person or a workflow → which stages ran, and which failed, and why.

Each stage notes how it ends in a file that the environment names (`delivery.progress`): nothing is
read off what DVC prints. DVC removes what a stage will write before it runs it, and goes on with
other models when one fails. So what git tracks of a stage that did not end is put back, and an
interrupt ends all of it.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treeline.config import Layout
from treeline.delivery import locking
from treeline.delivery.notes import FOLDER, Failure
from treeline.delivery.processes import QUOTED_LINES, run
from treeline.delivery.progress import EVENTS, MODELS, StageRun, stage_runs
from treeline.errors import DeliveryError
from treeline.files import write_bytes

NOTES = FOLDER / "stages.jsonl"
LOCK = FOLDER / "pipeline.lock"
# What DVC writes anew in its place: what it has done, and what is being done.
WRITTEN_IN_PLACE = (locking.LOCK, locking.RUNNING)
WRITING_SECONDS = 60  # in which it has written dvc.lock, even of a thousand models
REPRO = ("dvc", "repro", "--keep-going")
ABSENT = frozenset({"deleted", "not in cache"})  # DVC's states of what can be pulled
UNFINISHED = "DVC did not finish it; its output says why"
KILLED = "it ended without an error of its own, as a process does that is killed"
TRACKED = {  # what git has of the outputs that DVC removes, by stage; those of export it keeps
    "prepare": ("summary",),
    "train": ("candidates", "training"),
    "evaluate": ("evaluation", "metrics", "images", "plots"),
    "gate": ("verdict", "report"),
}


class Interrupted(KeyboardInterrupt):
    """The run was ended from outside; `runs` holds what had begun."""

    def __init__(self, runs: list[StageRun]) -> None:
        super().__init__("interrupted")
        self.runs = runs


def run_pipeline(models: Sequence[str], options: Sequence[str]) -> list[StageRun]:
    """Bring models up to date by `dvc repro` with `options`; return the stages that ran for models.

    Those that run once for all models are among them only where they fail. What stages print is
    shown, DVC is silent. Raises Interrupted at Ctrl-C or SIGTERM, when nothing runs any more, and
    DeliveryError where DVC fails and no stage says why.
    """
    with _alone():
        code, runs = _repro(models, ["--quiet", *options])
        if code and not any(map(_failed, runs)):
            # What DVC itself finds wrong it says only when it is not quiet.
            code, runs = _repro(models, options)
            if code and not any(map(_failed, runs)):
                raise DeliveryError("`dvc repro` failed; it says above why")
        return [each for each in runs if each.model or _failed(each)]


def recollect(models: Sequence[str], *, force: bool = True) -> list[Failure]:
    """Ask the sources of the models again, by force also where nothing has changed.

    Besides, only the stage digest is brought up to date, which collecting depends on.
    """
    collects = [f"collect@{model}" for model in models]
    forced = ["--force"] if force else []
    with _alone():
        return _failures(models, ["digest"]) or (
            _failures(models, [*forced, "--single-item", *collects]) if collects else []
        )


def reproduce(models: Sequence[str], *, force: bool) -> list[Failure]:
    """Run what is out of date for the models, or everything, and show what DVC says while it does.

    A refused or broken model does not keep the others from being trained. Raises DeliveryError
    when DVC is not installed.
    """
    exports = [f"export@{model}" for model in models]
    with _alone():
        return _failures(models, [*(["--force"] if force else []), *exports])


def out_of_date(*targets: str) -> list[str]:
    """Return the stages that DVC would run again, or those among the targets."""
    return list(json.loads(run("dvc", "status", "--json", *targets)))


def changed_stages() -> list[str]:
    """Return the stages that would do something else by now; one whose files are away would not."""
    status: dict[str, list[Any]] = json.loads(run("dvc", "status", "--json"))
    return [stage for stage, changes in status.items() if any(map(_is_change, changes))]


def _is_change(change: Any) -> bool:
    """Tell whether a change of a stage, as DVC's JSON has it, is more than a file that is away."""
    if not isinstance(change, dict):
        return True
    states = [state for paths in change.values() for state in dict(paths).values()]
    return any(not isinstance(state, str) or state not in ABSENT for state in states)


def _failures(models: Sequence[str], options: Sequence[str]) -> list[Failure]:
    """Run DVC, and return what failed by what the stages noted.

    Where DVC fails besides, for a model whose stages all say that they ended well, that is told of
    the model; where no stage says anything at all, the end of what DVC printed is the reason.
    """
    last_lines: deque[str] = deque(maxlen=QUOTED_LINES)
    code, runs = _repro(models, options, last_lines=last_lines)
    if not code:
        return []
    failures = [
        Failure(each.stage, each.model, each.error or KILLED, each.refused)
        for each in runs
        if _failed(each)
    ]
    if not failures:
        return [Failure("", "", "\n".join(last_lines) or "dvc repro failed without a word")]
    known = {failure.model for failure in failures}
    if "" in known:
        return failures
    targets = [each for each in options if each.partition("@")[2] not in {"", *known}]
    late = out_of_date("--with-deps", *targets) if targets else []
    unfinished = {stage.partition("@")[2] for stage in late} - {""}
    more = [Failure("export", model, UNFINISHED) for model in models if model in unfinished]
    return [*failures, *more]


def _failed(run: StageRun) -> bool:
    return bool(run.error) or not run.ended


def _repro(
    models: Sequence[str], options: Sequence[str], *, last_lines: deque[str] | None = None
) -> tuple[int, list[StageRun]]:
    """Run DVC; return its exit code and the stages that began, with what git tracks put back."""
    NOTES.unlink(missing_ok=True)
    tracked = [each for name in models for each in _tracked(name)]
    try:
        code = _dvc([*REPRO, *options], models, last_lines)
    except KeyboardInterrupt:
        _put_back(tracked, stage_runs(NOTES))
        raise Interrupted(stage_runs(NOTES)) from None
    runs = stage_runs(NOTES)
    _put_back(tracked, runs)
    return code, runs


def _dvc(command: Sequence[str], models: Sequence[str], last_lines: deque[str] | None) -> int:
    """Run DVC and its stages in a session of their own, so that all of them end at once.

    With `last_lines` these get the end of what is printed, which is shown all the same.
    """
    environment = {**os.environ, EVENTS: str(NOTES.resolve())}
    output: dict[str, Any] = {}
    if last_lines is None:
        environment[MODELS] = " ".join(models)
    else:
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        output |= {"encoding": "utf-8", "errors": "replace"}
    try:
        process = subprocess.Popen(command, env=environment, start_new_session=True, **output)
    except FileNotFoundError as missing:
        raise DeliveryError("`dvc` is needed and not installed: make setup") from missing
    try:
        with process, _terminating():
            for line in process.stdout or ():
                print(line, end="", flush=True)
                assert last_lines is not None
                last_lines.append(line.rstrip("\n"))
            return process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise


def _end(process: subprocess.Popen[Any]) -> None:
    """End DVC and its stages, once it writes no file in place: half of one would be left there.

    It is stopped while one looks, so that it cannot begin to write after that.
    """
    files = Path(f"/proc/{process.pid}/fd")  # of Linux; elsewhere nobody can look
    written = {path.resolve() for path in WRITTEN_IN_PLACE}
    deadline = time.monotonic() + WRITING_SECONDS
    while files.exists() and time.monotonic() < deadline and _is_stopped(process):
        if not any(_target(each) in written for each in files.iterdir()):
            break
        os.killpg(process.pid, signal.SIGCONT)
        time.sleep(0.01)
    for number in (signal.SIGTERM, signal.SIGCONT):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    process.wait()


def _is_stopped(process: subprocess.Popen[Any]) -> bool:
    """Stop a process and all that it started; return False where it has ended."""
    os.killpg(process.pid, signal.SIGSTOP)
    state = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return state is not None and state.si_code == os.CLD_STOPPED


def _target(descriptor: Path) -> Path | None:
    with suppress(FileNotFoundError):
        return descriptor.readlink()
    return None


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other command runs the pipeline of this folder: DVC would fail beside it."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "Another command runs the pipeline here; this one goes on when it has ended",
                file=sys.stderr,
                flush=True,
            )
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except KeyboardInterrupt:
                raise Interrupted([]) from None
        yield


@contextmanager
def _terminating() -> Iterator[None]:
    """Take SIGTERM and SIGHUP for Ctrl-C: whoever ends this command ends what it started."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGTERM, signal.SIGHUP) if in_main_thread else ()
    former = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class TrackedFile:
    """A file that git tracks, as it was; `output` is it or its folder, written by a stage."""

    stage: str
    model: str
    output: Path
    file: Path
    content: bytes


def _tracked(model: str) -> Iterator[TrackedFile]:
    """Yield the files there are that a stage of a model writes and git tracks."""
    outputs = [(stage, name) for stage, names in TRACKED.items() for name in names]
    for stage, name in outputs:
        output: Path = getattr(Layout(model), name)
        for file in filter(Path.is_file, [output, *output.glob("*")]):
            yield TrackedFile(stage, model, output, file, file.read_bytes())


def _put_back(tracked: Sequence[TrackedFile], runs: Sequence[StageRun]) -> None:
    """Write again what stages that did not end well have not written.

    One that DVC was about to start has noted nothing: its outputs are away as a whole.
    """
    well = {(run.stage, run.model) for run in runs if not _failed(run)}
    begun = {(run.stage, run.model) for run in runs} - well
    lost = [
        each
        for each in tracked
        if (each.stage, each.model) not in well
        and not each.file.exists()
        and ((each.stage, each.model) in begun or not each.output.exists())
    ]
    for each in lost:
        write_bytes(each.file, each.content)
