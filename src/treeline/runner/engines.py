"""What runs jobs, here or elsewhere: a small protocol, and the table of those who speak it.

To add one: a class with these methods in a module of its own, and one line in RUNNERS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from treeline.jobs.exits import Reason
from treeline.registry import resolve
from treeline.runner.settings import RunnerSettings

RUNNERS = {
    "docker": "treeline.runner.containers:ContainerEngine",
    "podman": "treeline.runner.containers:ContainerEngine",
    "kubernetes": "treeline.runner.kubernetes:KubernetesEngine",
}
LABEL = "treeline.job"  # with the prefix of a runner it names the id of what an engine has
INPUTS, RESULT, WHEELS = "/job/input", "/job/result", "/job/wheels"  # as a job sees them


@dataclass(frozen=True)
class Task:
    """What is to be run: `inputs` is a folder to read, `result` the one file to be written."""

    id: str
    kind: str
    model: str
    inputs: Path
    result: Path
    network: bool


@dataclass(frozen=True)
class Status:
    """What a task is at: its exit code once it has ended, and whether it lacked memory.

    Where it did not end by itself, and the engine knows why: that, in words too.
    """

    running: bool
    exit_code: int = 0
    out_of_memory: bool = False
    reason: Reason | None = None
    detail: str = ""


class Engine(Protocol):
    """Runs tasks within the limits of the settings; methods raise AgentError.

    Each can be called again after it was cut off anywhere.
    """

    start_seconds: float
    """How long a task may be on its way before it begins, which is none of its own time."""

    @classmethod
    def from_settings(cls, settings: RunnerSettings) -> Self:
        """Return the engine that the settings describe."""
        ...

    def answers(self) -> bool:
        """Tell whether the engine can be reached at all."""
        ...

    def image_id(self) -> str:
        """Return what names the image for good."""
        ...

    def start(self, task: Task) -> None:
        """Begin a task, or have it begin; one that has begun is left as it is."""
        ...

    def status(self, id: str) -> Status | None:
        """Return what a task is at; None where it never began, or was removed.

        Once it has ended well its model is in `result`.
        """
        ...

    def log(self, id: str) -> Iterator[bytes]:
        """Yield all that a task writes, from its beginning, as long as it runs."""
        ...

    def remove(self, id: str) -> None:
        """End a task and leave nothing of it."""
        ...

    def ids(self) -> set[str]:
        """Return the ids of all tasks that there is something of."""
        ...


def engine_of(settings: RunnerSettings) -> Engine:
    """Return the engine that the settings name; raises UnknownNameError."""
    kind: type[Engine] = resolve(RUNNERS, settings.engine, place="engine")
    return kind.from_settings(settings)
