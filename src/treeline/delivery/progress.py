"""What a stage says while it runs: its place among all, how long it took, what failed.

DVC starts each stage as a process of its own and tells nobody how far it is. So a stage notes when
it begins and how it ends in a file that the environment names, and shows its place among all stages
of the models that the environment lists. Without these it prints its result and nothing more.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from treeline.errors import GateError, TreelineError

EVENTS = "TREELINE_EVENTS"  # the file of notes
MODELS = "TREELINE_MODELS"  # names of models, separated by blanks
GREEN, RED, PLAIN = "\033[32m", "\033[31m", "\033[0m"
CLEAR = "\r\033[K"  # back to the begin of the line, and forget it


@dataclass(frozen=True)
class StageRun:
    """One stage of one model: whether it ended, after how many seconds, and with which error.

    `refused` says that the error is the gate's decision. `model` is empty for stages of no model.
    """

    stage: str
    model: str
    ended: bool = False
    seconds: float = 0.0
    error: str = ""
    refused: bool = False


@contextmanager
def reported(stage: str, model: str, *, stages: Sequence[str]) -> Iterator[list[str]]:
    """Report a stage, one of `stages` in their order; the block appends what it says of its work.

    An error is raised on when it is noted.
    """
    place = _place(stage, model, stages)
    _note(StageRun(stage, model))
    terminal = bool(place) and sys.stdout.isatty()
    if terminal:
        print(f"{CLEAR}{place}{stage} {model} …", end="\r", flush=True)
    started, said = time.perf_counter(), list[str]()
    try:
        yield said
    except Exception as error:
        _note(
            StageRun(
                stage,
                model,
                ended=True,
                seconds=time.perf_counter() - started,
                error=_reason(error),
                refused=isinstance(error, GateError),
            )
        )
        if terminal:
            print(CLEAR, end="", flush=True)
        raise
    seconds = time.perf_counter() - started
    _note(StageRun(stage, model, ended=True, seconds=seconds))
    text = f"{f'{stage} {model}'.strip()}: {' '.join(said)}"
    print(
        f"{CLEAR if terminal else ''}{place}{text}{f', {seconds:.1f} s' if place else ''}",
        flush=True,
    )


def stage_runs(path: Path) -> list[StageRun]:
    """Return the last note of each stage that began, in the order in which they began."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    notes = [StageRun(**json.loads(line)) for line in lines]
    return list({(note.stage, note.model): note for note in notes}.values())


def _reason(error: Exception) -> str:
    """Return what an error says; one that is not Treeline's own is named too."""
    if isinstance(error, TreelineError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def coloured(text: str, colour: str) -> str:
    """Return a text in a colour where standard output is a terminal that wants it."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"{colour}{text}{PLAIN}"


def _place(stage: str, model: str, stages: Sequence[str]) -> str:
    """Return `[ 7 of 24] `: DVC runs the first stage of every model, then the second, and so on."""
    models = os.environ.get(MODELS, "").split()
    if model not in models or stage not in stages:
        return ""
    total = len(stages) * len(models)
    number = stages.index(stage) * len(models) + models.index(model) + 1
    return coloured(f"[{number:>{len(str(total))}} of {total}] ", GREEN)


def _note(run: StageRun) -> None:
    if path := os.environ.get(EVENTS):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")
