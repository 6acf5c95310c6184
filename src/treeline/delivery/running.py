"""The pipeline run for a person: what stages say is shown, DVC is silent, and it can be stopped.

DVC removes what a stage will write before it runs it, and goes on with other models when one fails.
So what git tracks of a stage that did not end is put back, and an interrupt ends all of it.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treeline.config import Layout
from treeline.delivery.notes import FOLDER
from treeline.delivery.progress import EVENTS, MODELS, StageRun, runs
from treeline.errors import DeliveryError
from treeline.files import write_bytes

NOTES = FOLDER / "stages.jsonl"
LOCK = FOLDER / "pipeline.lock"
REPRO = ("dvc", "repro", "--keep-going")
TRACKED = {  # what git has of the outputs that DVC removes, by stage; those of export it keeps
    "prepare": ("summary",),
    "train": ("candidates", "training"),
    "evaluate": ("evaluation", "metrics", "images", "plots"),
    "gate": ("verdict", "report"),
}


class Interrupted(Exception):
    """The run was ended from outside; `runs` holds what had begun."""

    def __init__(self, runs: list[StageRun]) -> None:
        super().__init__("interrupted")
        self.runs = runs


def run_pipeline(models: Sequence[str], options: Sequence[str]) -> list[StageRun]:
    """Bring models up to date by `dvc repro` with `options`; return the stages that ran.

    Raises Interrupted at Ctrl-C or SIGTERM, when nothing runs any more, and DeliveryError where DVC
    fails and no stage says why.
    """
    NOTES.parent.mkdir(parents=True, exist_ok=True)
    with _alone():
        return _run(models, options)


def _run(models: Sequence[str], options: Sequence[str]) -> list[StageRun]:
    NOTES.unlink(missing_ok=True)
    kept = [each for name in models for each in _tracked(name)]
    try:
        code = _dvc([*REPRO, "--quiet", *options], models)
    except KeyboardInterrupt:
        _put_back(kept, runs(NOTES))
        raise Interrupted(runs(NOTES)) from None
    found = runs(NOTES)
    _put_back(kept, found)
    if code and all(run.ended and not run.error for run in found):
        # What DVC itself finds wrong it says only when it is not quiet.
        if _dvc([*REPRO, *options], models):
            raise DeliveryError("`dvc repro` failed; it says above why")
        found = runs(NOTES)
    return found


def _dvc(command: Sequence[str], models: Sequence[str]) -> int:
    """Run DVC and its stages in a session of their own, so that all of them end at once."""
    environment = {**os.environ, EVENTS: str(NOTES.resolve()), MODELS: " ".join(models)}
    try:
        process = subprocess.Popen(command, env=environment, start_new_session=True)
    except FileNotFoundError as missing:
        raise DeliveryError("`dvc` is needed and not installed: make setup") from missing
    try:
        with _terminating():
            return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other command runs the pipeline of this folder: DVC would fail beside it."""
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

    signals = (signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Kept:
    """A file that git tracks, as it was; `output` is it or its folder, written by a stage."""

    stage: str
    model: str
    output: Path
    file: Path
    content: bytes


def _tracked(model: str) -> Iterator[Kept]:
    """Yield the files there are that a stage of a model writes and git tracks."""
    written = [(stage, name) for stage, names in TRACKED.items() for name in names]
    for stage, name in written:
        output: Path = getattr(Layout(model), name)
        for file in filter(Path.is_file, [output, *output.glob("*")]):
            yield Kept(stage, model, output, file, file.read_bytes())


def _put_back(kept: Sequence[Kept], found: Sequence[StageRun]) -> None:
    """Write again what stages that did not end well have not written.

    One that DVC was about to start has noted nothing: its outputs are away as a whole.
    """
    well = {(run.stage, run.model) for run in found if run.ended and not run.error}
    begun = {(run.stage, run.model) for run in found} - well
    lost = [
        each
        for each in kept
        if (each.stage, each.model) not in well
        and not each.file.exists()
        and ((each.stage, each.model) in begun or not each.output.exists())
    ]
    for each in lost:
        write_bytes(each.file, each.content)
