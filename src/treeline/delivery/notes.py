"""What one command of a run leaves for the next: small JSON files below build/run, not in git."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from treeline.errors import RecordError, TreelineError
from treeline.files import write_json

FOLDER = Path("build/run")
REPORT = FOLDER / "report.md"


@dataclass(frozen=True)
class Failure:
    """A stage that ended badly; `stage` and `model` are empty where no stage says why.

    `refused` says that it was the gate that decided, rather than something that broke.
    """

    stage: str
    model: str
    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Reproduced:
    """What failed while the pipeline ran, and which models were left out, with the reason."""

    failures: Sequence[Failure] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contest:
    """Whether a version of a model may take the place of the one before, and why not."""

    good: bool
    version: str | None
    reason: str


@dataclass(frozen=True)
class Compared:
    """How models did beside those of the commit `base`, by name.

    `accepted` says that a person wants them published whatever came out.
    """

    base: str
    accepted: bool
    models: Mapping[str, Contest]

    @property
    def lost(self) -> dict[str, Contest]:
        """The contests that were lost, by name of the model."""
        return {name: each for name, each in self.models.items() if not each.good}


@dataclass(frozen=True)
class Published:
    """What became of the trained models.

    `commit` is the commit that holds them, None when nothing was written; `changed` says whether
    it is new; `released` whether it is to be deployed; `note` says in words what else there is.
    `branch` is another than the run's where the commit waits there for a pull request. `held` are
    the models that were not published, and why; `repeated` those of them that were refused before
    with the same inputs; `removed` those that are declared no more.
    """

    commit: str | None = None
    changed: bool = False
    released: bool = False
    note: str = ""
    branch: str = ""
    held: Mapping[str, str] = field(default_factory=dict)
    repeated: Sequence[str] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True)
class Monitored:
    """Which models were looked at; where the log could not be read, none, and the error."""

    models: Sequence[str]
    error: str = ""


@dataclass(frozen=True)
class RunError:
    """The error that ended a run, and the command that it ended."""

    command: str
    message: str


Note = Reproduced | Compared | Published | Monitored | RunError
N = TypeVar("N", bound=Note)

FILES: dict[type, Path] = {
    Reproduced: FOLDER / "reproduced.json",
    Compared: FOLDER / "compared.json",
    Published: FOLDER / "published.json",
    Monitored: FOLDER / "monitored.json",
    RunError: FOLDER / "error.json",
}


def clear() -> None:
    """Remove the notes of an earlier run."""
    for path in (*FILES.values(), REPORT):
        path.unlink(missing_ok=True)


def write(note: Note) -> None:
    """Write a note, whole."""
    write_json(FILES[type(note)], asdict(note))


def read(kind: type[N]) -> N | None:
    """Return the note of a kind, None where the command that leaves it did not come so far.

    Raises RecordError for a file that is no such note.
    """
    path = FILES[kind]
    if not path.is_file():
        return None
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise RecordError(
            f"{path}: {place}: {first['msg']}; no command writes it so: start the run anew"
        ) from None


@contextmanager
def recording_error(command: str) -> Iterator[None]:
    """Leave a note of the error that ends a command, and raise it on."""
    try:
        yield
    except TreelineError as error:
        write(RunError(command, str(error)))
        raise
