"""Jobs of a spool → tasks of an engine, each watched to its end; what came of it goes back.

What a job is at stands in the spool and with the engine, never only in memory: a runner that is
killed takes up its jobs again when it starts, and a job ends within its time also meanwhile.
"""

import logging
import os
import shutil
import stat
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from treeline.errors import AgentError, ConfigError, JobError, TreelineError
from treeline.files import CHUNK_BYTES
from treeline.jobs.documents import ID, Ending, Outcome, Run, cut
from treeline.jobs.exits import MARK, REASONS, Reason
from treeline.jobs.spool import (
    CANCEL,
    ENDING_FILE,
    INPUT,
    LOG,
    MODEL,
    RUN_FILE,
    Job,
    Spool,
    write_document,
)
from treeline.runner.engines import Engine, Status, Task
from treeline.runner.settings import RunnerSettings

REST_SECONDS = 15.0  # for the rest of a log
AGAIN_SECONDS = 5.0  # until a job is taken up again after a fault of the engine or the disk
SWEEP_SECONDS = 60.0
RESULT = "result"
LAST_BYTES = 16 << 10  # of a log, in which its last line is looked for
PRIVATE, READABLE, WRITABLE = 0o700, 0o444, 0o666

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What came of a task; `done` says that it made a model, which the service is to judge."""

    state: Outcome
    reason: Reason | None = None
    text: str = ""


class Runner:
    """Runs the jobs of one spool, so many at a time."""

    def __init__(self, settings: RunnerSettings, spool: Spool, engine: Engine) -> None:
        self._settings = settings
        self._spool = spool
        self._engine = engine
        self._under_way: dict[str, Future[None]] = {}
        self._over = threading.Event()
        self._sweep_at = 0.0

    def run(self) -> None:
        """Look for jobs until `stop` is called; those under way go on without it."""
        failing = ""
        with ThreadPoolExecutor(self._settings.at_once) as threads:
            while not self._over.is_set():
                fault = self._fault(threads)
                if fault and fault != failing:  # once, not at each look
                    logger.error("%s", fault)
                failing = fault
                self._over.wait(self._settings.look_seconds)

    def stop(self) -> None:
        """Let `run` return; what runs in containers goes on, and is taken up by the next runner."""
        self._over.set()

    def _fault(self, threads: ThreadPoolExecutor) -> str:
        """Look, and return what has failed; nothing where all went well."""
        try:
            self.look(threads)
        except (TreelineError, OSError) as error:
            return str(error)
        return ""

    def look(self, threads: ThreadPoolExecutor) -> None:
        """Take up what runs, claim what waits while there is room, remove what is left over."""
        self._spool.beat()
        self._under_way = {id: each for id, each in self._under_way.items() if not each.done()}
        for id in self._spool.ids("running"):
            if id not in self._under_way and self._room():
                self._under_way[id] = threads.submit(self._watched, id)
        while self._room() and (job := self._spool.claim()) is not None:
            logger.info("%s is claimed: %s for %s", job.order.id, job.order.model, job.order.owner)
            self._under_way[job.order.id] = threads.submit(self._watched, job.order.id)
        if time.monotonic() > self._sweep_at:
            self._sweep()
            self._sweep_at = time.monotonic() + SWEEP_SECONDS

    def _room(self) -> bool:
        return len(self._under_way) < self._settings.at_once

    def _sweep(self) -> None:
        """Remove containers and folders of jobs that do not run."""
        current = {*self._spool.ids("running"), *self._under_way}
        for id in self._engine.ids() - current:
            self._engine.remove(id)
        for folder in self._settings.state_dir.iterdir():
            if ID.fullmatch(folder.name) and folder.name not in current:
                shutil.rmtree(folder, ignore_errors=True)

    def _watched(self, id: str) -> None:
        try:
            self._take_up(id)
        except (TreelineError, OSError) as error:
            logger.error("%s is taken up again: %s", id, error)
            self._over.wait(AGAIN_SECONDS)
        except Exception:
            logger.exception("%s is taken up again", id)
            self._over.wait(AGAIN_SECONDS)

    def _take_up(self, id: str) -> None:
        """Run a job to its end, or go on where a runner before left it."""
        try:
            job = self._spool.find(id)
        except JobError as error:
            self._end(id, Verdict("failed", "runner", str(error)))
            return
        if job is None:
            self._end(id, Verdict("failed", "runner", "it has no order"))
            return
        if job.place != "running":
            return
        if (job.folder / ENDING_FILE).exists():  # a runner before was killed in the middle of it
            self._finish(id)
            return
        try:
            verdict = self._verdict(job)
            if verdict is not None and verdict.state == "done":
                self._deliver(job)
                return
        except JobError as error:  # of its files, which will be no others the next time
            verdict = Verdict("failed", "runner", str(error))
        if verdict is not None:
            self._end(id, verdict)

    def _verdict(self, job: Job) -> "Verdict | None":
        """Have a job run, and return what came of it; None where it is left to the next runner."""
        if job.order.network and not self._settings.network:
            return Verdict("failed", "runner", "it asks for a network, and none is allowed here")
        try:
            run = job.run or Run(image=self._engine.image_id(), started=datetime.now(UTC))
            write_document(job.folder / RUN_FILE, run)
            self._engine.start(self._task(job))
        except AgentError as error:
            if not self._engine.answers():
                raise
            return Verdict("failed", "runner", f"its container cannot be started: {error}")
        log = _Log(self._engine, job.order.id, job.folder / LOG, self._settings.limits.log_bytes)
        log.start()
        try:
            while not self._over.is_set():
                if (verdict := self._look_at(job, run, log)) is not None:
                    return verdict
                self._over.wait(self._settings.look_seconds)
        finally:
            log.over.set()
        return None

    def _look_at(self, job: Job, run: Run, log: "_Log") -> "Verdict | None":
        """Return what came of a job; None while it runs."""
        limits = self._settings.limits
        status = self._engine.status(job.order.id)
        if status is not None and not status.running:
            log.join(REST_SECONDS)  # the rest of it
        passed = (datetime.now(UTC) - run.started).total_seconds()
        verdict = None
        if log.full.is_set():
            text = f"it wrote more than {limits.log_bytes} bytes of log"
            verdict = Verdict("failed", "log", text)
        elif (job.folder / CANCEL).exists():
            verdict = Verdict("cancelled", None, "as its owner wished")
        elif status is None:
            verdict = Verdict("failed", "runner", "its container was removed by somebody else")
        elif not status.running:
            verdict = self._judged(status, log)
        elif passed > limits.seconds + limits.grace_seconds + self._engine.start_seconds:
            text = f"it did not end within {limits.seconds} seconds"
            verdict = Verdict("failed", "time", text)
        return verdict

    def _judged(self, status: Status, log: "_Log") -> "Verdict":
        """Return what came of a task that ended by itself."""
        if status.exit_code == 0:
            return Verdict("done")
        if status.reason is not None:
            return Verdict("failed", status.reason, status.detail)
        if status.out_of_memory:
            most = self._settings.limits.memory_bytes
            return Verdict("failed", "memory", f"it needed more than {most} bytes of memory")
        if status.exit_code in REASONS:
            return Verdict("failed", REASONS[status.exit_code], log.last_word())
        text = f"it was ended from outside, or with its machine (code {status.exit_code})"
        return Verdict("failed", "runner", text)

    def _deliver(self, job: Job) -> None:
        """Give the model of a job to the service."""
        id, most = job.order.id, self._settings.limits.model_bytes
        target = job.folder / MODEL
        target.unlink(missing_ok=True)  # of a runner that was killed just here
        size = copied(self._place(id) / RESULT, target, most=most)
        if size > most or not size:
            text = f"the model has {size} bytes, and 1 to {most} are admitted"
            self._end(id, Verdict("failed", "output", text))
            return
        run = Run.model_validate_json((job.folder / RUN_FILE).read_bytes())
        write_document(job.folder / RUN_FILE, run.model_copy(update={"ended": datetime.now(UTC)}))
        self._spool.move(id, "running", "checking")
        logger.info("%s has made a model", id)
        self._clear(id)

    def _end(self, id: str, verdict: "Verdict") -> None:
        """End a job for good: what came of it is written first, so that it is not run again."""
        now = datetime.now(UTC)
        ending = Ending(
            state=verdict.state, reason=verdict.reason, detail=cut(verdict.text), ended=now
        )
        write_document(self._spool.root / "running" / id / ENDING_FILE, ending)
        logger.info("%s is %s: %s", id, verdict.state, verdict.text)
        self._finish(id)

    def _finish(self, id: str) -> None:
        """Remove what is left of a job whose ending is written, and say that it has ended."""
        self._clear(id)
        self._spool.move(id, "running", "ended")

    def _clear(self, id: str) -> None:
        """Remove the container of a job and the runner's own folder of it."""
        self._engine.remove(id)
        shutil.rmtree(self._place(id), ignore_errors=True)

    def _task(self, job: Job) -> Task:
        """Return what is to be run, with the inputs in a folder that the service cannot reach.

        They are copied as plain files: where the service was taken over, a link in the place of one
        would lead elsewhere on this machine.
        """
        place = self._place(job.order.id)
        inputs, result = place / INPUT, place / RESULT
        if not result.exists():
            shutil.rmtree(place, ignore_errors=True)
            inputs.mkdir(parents=True)
            place.chmod(PRIVATE)
            for name in job.order.files:
                if Path(name).name != name:
                    raise JobError(f"{job.order.id}: {name!r} is no name of a file")
                source = job.folder / INPUT / name
                copied(source, inputs / name, below=self._spool.root, mode=READABLE)
            inputs.chmod(0o755)
            result.touch()
        result.chmod(WRITABLE)  # by the user in the container; the folder above is closed
        order = job.order
        return Task(order.id, order.kind, order.model, inputs, result, network=order.network)

    def _place(self, id: str) -> Path:
        return self._settings.state_dir.resolve() / id


class _Log(threading.Thread):
    """Copies what a task writes into a file, up to a limit; what is there already stays."""

    def __init__(self, engine: Engine, id: str, path: Path, most: int) -> None:
        super().__init__(daemon=True)
        self._engine, self._id, self._path, self._most = engine, id, path, most
        self.full = threading.Event()
        """Set once it would be longer than it may be."""
        self.over = threading.Event()
        """Set by whoever wants no more of it: another one may go on with the same file."""

    def run(self) -> None:
        """Copy until the task ends or the limit is reached."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with suppress(TreelineError), open(os.open(self._path, flags, 0o644), "ab", 0) as file:
            written, seen = os.fstat(file.fileno()).st_size, 0
            for piece in self._engine.log(self._id):
                if self.over.is_set():
                    return
                fresh = piece[max(0, written - seen) :]
                seen += len(piece)
                file.write(fresh[: max(0, self._most - written)])
                written += len(fresh)
                if written > self._most:
                    self.full.set()
                    return

    def last_word(self) -> str:
        """Return why the task ended, as its first process says in its last line."""
        with self._path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        marked = [line for line in lines if line.startswith(MARK)]
        return marked[-1].removeprefix(MARK) if marked else "its log says why"


def opened(source: Path, below: Path) -> int:
    """Open a file to read it, by no link from the folder `below` on; raises JobError."""
    within, name = source.parent.relative_to(below), source.name
    try:
        folder = os.open(below, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in within.parts:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise JobError(f"{name} cannot be read: {error.strerror}") from error


def copied(
    source: Path,
    target: Path,
    *,
    below: Path | None = None,
    most: int | None = None,
    mode: int = 0o600,
) -> int:
    """Copy a plain file to one that is not there yet; return its size, or more than `most`.

    No link leads to it from the folder `below` on, by default its own. Raises JobError where the
    source is no plain file, or cannot be opened.
    """
    with open(opened(source, below or source.parent), "rb") as reading:
        status = os.fstat(reading.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise JobError(f"{source.name} is no plain file")
        if most is not None and status.st_size > most:
            return status.st_size
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with open(made, "wb") as writing:
            os.fchmod(made, mode)  # whatever the umask is
            shutil.copyfileobj(reading, writing, CHUNK_BYTES)
            writing.flush()
            os.fsync(made)
            return writing.tell()


def prepare(settings: RunnerSettings) -> Spool:
    """Return the spool of a runner, with all its folders; raises ConfigError.

    A runner that writes to a folder of another user would do so with rights that user lacks.
    """
    spool = Spool(settings.spool)
    if settings.wheelhouse is not None and not settings.wheelhouse.is_dir():
        raise ConfigError(f"wheelhouse: {settings.wheelhouse} is no folder of this machine")
    try:
        spool.create()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        settings.state_dir.chmod(PRIVATE)
        owner = settings.spool.stat().st_uid
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}; the runner writes there") from error
    if owner != os.geteuid():
        raise ConfigError(
            f"{settings.spool} belongs to the user {owner}, and this runner is {os.geteuid()}: run "
            "it as that user, who must be in the group of the engine"
        )
    return spool
