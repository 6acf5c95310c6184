"""What the agent knows between two runs: one file, replaced whole; and the lock of who runs.

The file is written before a step that the next run must know of, so that whoever is killed, or
loses power, is followed by a run that takes up the same step. Every step can be done twice.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from treeline.errors import AgentError
from treeline.files import write_text

FILE = "state.json"
LOCK = "lock"
SlotName = Literal["blue", "green"]
SLOTS: tuple[SlotName, SlotName] = ("blue", "green")


def other(slot: SlotName | None) -> SlotName:
    """Return the other slot; the first where none is given."""
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]


class Frozen(BaseModel):
    """What cannot be changed; what a later version added is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Release(Frozen):
    """An image by its digest (registry/owner/name@sha256:…), its commit, and when it was made."""

    image: str
    commit: str = ""
    made: str = ""  # ISO 8601, of the clock of who built it

    @property
    def digest(self) -> str:
        """The digest in the name."""
        return self.image.rpartition("@")[2]


class Placement(Frozen):
    """A release in one of the two slots."""

    slot: SlotName
    release: Release


class Report(Frozen):
    """Something people are told, in words and for programs; `event` says what kind it is."""

    event: str
    text: str
    document: dict[str, Any] = {}


class State(Frozen):
    """What is in service, what was before, what is about to be, and what was refused.

    While the same release starts anew with other settings, `former` is how it ran before, and
    `earlier` the release before it. `probation_seconds` are those still to be watched, None when
    there is no probation. `leaving` is why the release in service must go, from the decision until
    the former is back. `images` says of each image that may be here when it was last wanted
    (seconds since 1970). `said` holds what was reported, by event, so that it is not reported again
    at each run; `outbox` what the webhook
    has not taken yet.
    """

    live: Placement | None = None
    former: Placement | None = None
    earlier: Release | None = None
    candidate: Placement | None = None
    probation_seconds: float | None = None
    leaving: str = ""
    refused: dict[str, str] = {}
    images: dict[str, float] = {}
    said: dict[str, str] = {}
    outbox: tuple[Report, ...] = ()
    reached: float = 0.0  # when the registry answered last, seconds since 1970

    def but(self, **changes: Any) -> Self:
        """Return it with some of it changed."""
        return self.model_copy(update=changes)


class StateFile:
    """The state of the agent in a folder, for the one process that holds the lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / FILE

    def read(self) -> State:
        """Return what is written; an empty state at first. Raises AgentError."""
        try:
            return State.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return State()
        except (OSError, ValidationError) as error:
            raise AgentError(
                f"{self.path}: cannot be read: {error}; remove it, and the agent starts from what "
                "the front leads to"
            ) from error

    def write(self, state: State) -> None:
        """Replace the file, whole; raises AgentError where the disk does not take it."""
        try:
            write_text(self.path, state.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise AgentError(f"{self.path}: cannot be written: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Yield whether this process alone may act; the lock ends with the process.

        It is a record lock, which a command that is just being started does not inherit: so the
        lock of a run that was killed is free at once.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / LOCK).open("w", encoding="utf-8")
        except OSError as error:
            raise AgentError(f"state_dir: {self._folder}: {error}; run it as root") from error
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
