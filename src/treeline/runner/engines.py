"""What runs a job on this machine: a small protocol, and the table of those who speak it.

To add one: a class with these methods in a module of its own, and one line in RUNNERS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from treeline.registry import resolve
from treeline.runner.settings import RunnerSettings

RUNNERS = {
    "docker": "treeline.runner.containers:ContainerEngine",
    "podman": "treeline.runner.containers:ContainerEngine",
}


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
    """What a task is at: its exit code once it has ended, and whether it lacked memory."""

    running: bool
    exit_code: int = 0
    out_of_memory: bool = False


class Engine(Protocol):
    """Runs tasks within the limits of the settings; methods raise AgentError.

    Each can be called again after it was cut off anywhere.
    """

    @classmethod
    def from_settings(cls, settings: RunnerSettings) -> Self:
        """Return the engine of this machine."""
        ...

    def answers(self) -> bool:
        """Tell whether the engine can be reached at all."""
        ...

    def image_id(self) -> str:
        """Return what names the image for good."""
        ...

    def start(self, task: Task) -> None:
        """Begin a task; one that has begun is left as it is."""
        ...

    def status(self, id: str) -> Status | None:
        """Return what a task is at; None where it never began, or was removed."""
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
