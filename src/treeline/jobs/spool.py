"""The folder that a service and a runner share: a job is in the folder of the state that it has.

    <spool>/drafts/<id>      being received
    <spool>/queued/<id>      job.json, and input/ with what was sent
    <spool>/running/<id>     claimed by a runner: run.json, log
    <spool>/checking/<id>    its model.onnx awaits the service
    <spool>/ended/<id>       ending.json; its inputs are dropped

A state changes by one rename, so that one process alone claims a job, and a job is never in two
states, whatever is killed when. States follow each other in one order: who looks through the
folders in that order finds every job. A file `cancel` in the folder of a job asks for its end.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from treeline.contract.features import Closed
from treeline.errors import JobError
from treeline.jobs.documents import ID, Ending, Order, Run, State

Place = Literal["queued", "running", "checking", "ended"]
PLACES: tuple[Place, ...] = ("queued", "running", "checking", "ended")
DRAFTS = "drafts"
INPUT, LOG, MODEL, CANCEL = "input", "log", "model.onnx", "cancel"
ORDER_FILE, RUN_FILE, ENDING_FILE = "job.json", "run.json", "ending.json"
BEAT = "runner"  # touched by a runner while it lives
ABANDONED_SECONDS = 3600  # a draft that nobody has written to for so long was left by a crash

Document = TypeVar("Document", bound=Closed)


@dataclass(frozen=True)
class Job:
    """A job as its files say it is; `place` is the folder that it was in."""

    order: Order
    place: Place
    folder: Path
    run: Run | None
    ending: Ending | None
    cancelling: bool

    @property
    def state(self) -> State:
        """What a caller is told."""
        if self.place != "ended":
            return self.place
        return "failed" if self.ending is None else self.ending.state


class Spool:
    """Jobs below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folders where they are absent; raises OSError."""
        for name in (DRAFTS, *PLACES):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    # --- looking ------------------------------------------------------------------------------

    def ids(self, *places: Place) -> list[str]:
        """Return the ids of the jobs in these folders, the oldest first; no link is one."""
        there: set[str] = set()
        for place in places:
            with suppress(FileNotFoundError), os.scandir(self.root / place) as entries:
                folders = (each for each in entries if each.is_dir(follow_symlinks=False))
                there |= {each.name for each in folders if ID.fullmatch(each.name)}
        return sorted(there)

    def find(self, id: str) -> Job | None:
        """Return a job, or None where there is none; raises JobError where its files are broken."""
        if not ID.fullmatch(id):
            return None
        for place in PLACES:
            folder = self.root / place / id
            if (order := _read(folder / ORDER_FILE, Order)) is not None:
                return Job(
                    order=order,
                    place=place,
                    folder=folder,
                    run=_read(folder / RUN_FILE, Run),
                    ending=_read(folder / ENDING_FILE, Ending) if place == "ended" else None,
                    cancelling=(folder / CANCEL).exists(),
                )
        return None

    def jobs(self, *places: Place) -> list[Job]:
        """Return the jobs in these folders, the oldest first; broken ones are left out."""
        listed = []
        for id in self.ids(*places):
            with suppress(JobError):
                if (job := self.find(id)) is not None:
                    listed.append(job)
        return listed

    def beat_seen(self) -> float | None:
        """Return when a runner was here, in seconds since 1970; None where there never was one."""
        try:
            return (self.root / BEAT).stat().st_mtime
        except FileNotFoundError:
            return None

    # --- the service --------------------------------------------------------------------------

    @contextmanager
    def draft(self, id: str) -> Iterator[Path]:
        """Yield the folder for the inputs of a new job; it is gone afterwards unless submitted."""
        draft = self.root / DRAFTS / id
        (draft / INPUT).mkdir(parents=True)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def submit(self, draft: Path, order: Order) -> None:
        """Queue a draft."""
        write_document(draft / ORDER_FILE, order)
        draft.rename(self.root / "queued" / order.id)

    def cancel(self, job: Job, ending: Ending) -> None:
        """End a job that waits, as `ending` says, and ask whoever is at it to end any other one."""
        for place in PLACES[:-1]:
            folder = self.root / place / job.order.id
            with suppress(FileNotFoundError):
                if place == "queued":
                    self.end(job.order.id, ending, place="queued")
                else:
                    (folder / CANCEL).touch()
                return

    def clean(self, *, most: int) -> None:
        """Remove ended jobs but the newest `most`, and drafts that were abandoned."""
        for id in self.ids("ended")[:-most]:
            shutil.rmtree(self.root / "ended" / id, ignore_errors=True)
        for draft in (self.root / DRAFTS).iterdir():
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(draft, ignore_errors=True)

    def drop_inputs(self, id: str) -> None:
        """Remove what was sent for a job that has ended; its digests stay in its order."""
        shutil.rmtree(self.root / "ended" / id / INPUT, ignore_errors=True)

    @contextmanager
    def locked(self, name: str = "lock", *, wait: bool = True) -> Iterator[bool]:
        """Let one process at a time do something; yield False where another one does, unawaited."""
        with (self.root / f".{name}").open("a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True

    # --- the runner ---------------------------------------------------------------------------

    def beat(self) -> None:
        """Show that a runner lives."""
        (self.root / BEAT).touch()

    def claim(self) -> Job | None:
        """Take the job that has waited longest; None where none waits."""
        for id in self.ids("queued"):
            with suppress(FileNotFoundError):
                self.move(id, "queued", "running")
                return self.find(id)
        return None

    def move(self, id: str, before: Place, after: Place) -> None:
        """Give a job another state; raises FileNotFoundError where it does not have the former."""
        (self.root / before / id).rename(self.root / after / id)

    def end(self, id: str, ending: Ending, *, place: Place) -> None:
        """End a job; raises FileNotFoundError where it is not in that state.

        Who is faster takes the job, and finds the ending in it: it is never run again.
        """
        write_document(self.root / place / id / ENDING_FILE, ending)
        self.move(id, place, "ended")


def write_document(path: Path, document: Closed) -> None:
    """Write one of the files of a job, whole or not at all.

    Raises FileNotFoundError where the job is not there any more: no folder is made.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with draft.open("x", encoding="utf-8") as file:
        file.write(document.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path, kind: type[Document]) -> Document | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise JobError(f"{path} cannot be read ({type(error).__name__}); remove it") from error
