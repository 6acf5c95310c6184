"""The processes beside a worker that compute batches, and the files that batches need.

The bodies and answers of batches under way are files below the state folder. A file is locked by
the worker that writes it: one that can be locked was left by a worker that was killed, and is
removed by the next that starts.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from pickle import PickleBuffer
from time import monotonic
from typing import BinaryIO, TypeVar
from uuid import uuid4

from api.background import beside
from api.errors import StateFolderError
from api.formats.explained import Explained
from api.formats.rows import EncodedPart, Job, ModelAbsent, Part, Payload
from api.inference.explanations.explainer import run_apart, sampling_of
from api.inference.parts import (
    begin_here,
    compute_part,
    finish_here,
    predict,
    predict_apart,
    prepare,
    take_here,
    to_parquet,
)
from api.inference.record import Predictor
from api.sandbox.limits import Limits, reuse_memory
from api.sandbox.pool import SandboxPool
from api.sandbox.sandbox import Plan, Sandbox
from api.settings import Settings
from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix

FOLDER = "batches"
PAUSE_SECONDS = 30
FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
YOUNG_SECONDS = 60  # between a file's first moment and its lock

logger = logging.getLogger(__name__)


class Draft:
    """One file, written from its beginning to its end, then read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = 0

    def write(self, payload: bytes) -> None:
        """Append; raises StateFolderError, as when the disk is full."""
        try:
            self.file.write(payload)
        except OSError as error:
            raise unwritable(self.path.parent, error) from error
        self.size += len(payload)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self.file.close()


class Drafts:
    """The folder of what is under way."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def new(self) -> Draft:
        """Return an empty file; raises StateFolderError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / uuid4().hex
            file = os.fdopen(os.open(path, FLAGS, 0o600), "w+b", buffering=0)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        fcntl.flock(file, fcntl.LOCK_EX)
        return Draft(path, file)

    def clear(self) -> None:
        """Remove what workers left that were killed."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                self._clear(path)

    def _clear(self, path: Path) -> None:
        with suppress(OSError), path.open("rb") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < YOUNG_SECONDS:
                return
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            logger.info("%s was left by a worker that was killed, and is removed", path)


def unwritable(folder: Path, error: OSError) -> StateFolderError:
    """Return the error to raise when the state folder fails."""
    logger.error("%s cannot be written: %s", folder, error)
    text = f"A batch needs a folder to write to, and there is none that works ({error.strerror})"
    return StateFolderError(f"{text}; see API_STATE_DIR.", seconds=PAUSE_SECONDS)


TRIES = 2  # a part is computed again where its process was lost with the part of another
WARM_SECONDS = 2.0  # after the start of a worker, which has the processor to itself until then
WRITTEN_BYTES = 1 << 40  # of an answer, which is as long as its rows are many
READERS = ("api.inference.parts", "treeline.artifact.onnx")
ARROW = ("api.formats.arrow",)
PICKLES = ("treeline.artifact.pickled",)
ANSWERS = (ModelAbsent, Part, EncodedPart, Explained)


@dataclass(frozen=True)
class Pools:
    """Processes that read what strangers send and write no file; and those that write Parquet."""

    readers: SandboxPool
    writers: Sandbox

    @classmethod
    def of(cls, settings: Settings) -> "Pools":
        """Have the pools that settings ask for; their processes are started later."""
        imports = READERS + (ARROW if find_spec("pyarrow") is not None else ())
        if settings.allow_pickle:
            imports += PICKLES
        limits = Limits(
            memory_bytes=settings.request_memory_bytes,
            memory_setting="API_REQUEST_MEMORY_BYTES",
            seconds_setting="API_BATCH_SECONDS",
            spawning=settings.allow_pickle,
        )
        most = settings.max_requests * 4
        readers = SandboxPool(
            "batches",
            Plan(limits, imports=imports, classes=ANSWERS, warm=prepare),
            processes=settings.batch_processes,
            most_waiting=most,
            tries=TRIES,
        )
        writing = replace(limits, file_bytes=WRITTEN_BYTES)
        writers = Sandbox(
            "Parquet answers",
            Plan(writing, imports=imports, warm=prepare),
            most_waiting=most,
        )
        return cls(readers, writers)

    @asynccontextmanager
    async def running(self, drafts: Drafts) -> AsyncIterator[None]:
        """Begin without the files of workers that were killed; leave no process behind."""
        reuse_memory()
        await asyncio.to_thread(drafts.clear)
        async with self.readers.running(), self.writers.running(), beside(self._warm()):
            yield

    async def _warm(self) -> None:
        """Start a process once the worker has started, so that the first batch need not wait."""
        await asyncio.sleep(WARM_SECONDS)
        self.readers.warm()


T = TypeVar("T")
BESIDE = frozenset({"onnx", "pickle"})  # H2O has its own process, which serves the worker


class SeparateBatch:
    """The parts of one batch, of which the worker itself reads none."""

    def __init__(self, predictor: Predictor, pools: Pools, deadline: float) -> None:
        """Compute for a model, until a moment of the monotonic clock."""
        self._predictor, self._pools, self._deadline = predictor, pools, deadline
        self._own: Sandbox | None = None
        self._signature = predictor.signature.document()
        self._beside = predictor.signature.runtime in BESIDE

    async def begin(self, job: Job, held: Payload) -> bytes:
        """Check the columns of a table, and return the head of the answer; raises TreelineError.

        What is held as a whole is read by one process, which goes on where it was.
        """
        if job.path:
            self._own = self._pools.readers.least_busy()
        return await self._run(begin_here, self._signature, job, sent(held))

    async def part(self, job: Job, payload: Payload, first: int) -> Part:
        """Return what becomes of a part; raises TreelineError.

        Where the processes do not have the model, that of the worker predicts what they have read.
        """
        if self._beside and job.exported:
            part = await self._run(compute_part, job, sent(payload), first)
            if isinstance(part, Part):
                return part
            self._beside = False
        taken = await self._run(take_here, self._signature, job, sent(payload), first)
        if isinstance(taken, Part):
            return taken
        if (elsewhere := self._predictor.predict_apart) is not None:
            prediction = await predict_apart(elsewhere, taken.matrix)
        else:
            prediction = await asyncio.to_thread(predict, self._predictor.model, taken.matrix)
        explained = None
        if job.explaining and len(taken.matrix):
            explained = await sampled(self._predictor, taken.matrix)
        return await self._run(finish_here, self._signature, job, taken, prediction, explained)

    @property
    def processes(self) -> int:
        """How many processes compute parts of it at a time."""
        return self._pools.readers.ready if self._own is None else 1

    async def to_parquet(self, stream: Path, target: Path) -> None:
        """Make a Parquet file of a finished answer, where nothing of strangers is read."""
        await self._pools.writers.run(to_parquet, stream, target, deadline_seconds=self._seconds())

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        readers = self._own or self._pools.readers
        return await readers.run(function, *arguments, deadline_seconds=self._seconds())

    def _seconds(self) -> float:
        return max(self._deadline - monotonic(), 0.001)


async def sampled(predictor: Predictor, matrix: Matrix) -> Explained:
    """Explain by asking a model that is in the worker, or that runs elsewhere, time and again."""
    elsewhere, model = predictor.predict_apart, predictor.model

    async def answers(rows: Matrix) -> Prediction:
        if elsewhere is not None:
            return await predict_apart(elsewhere, rows)
        return await asyncio.to_thread(predict, model, rows)

    explainer = await asyncio.to_thread(sampling_of, predictor.signature)
    return await run_apart(explainer.of(matrix), answers)


def sent(payload: Payload) -> object:
    """Return a payload as it goes to another process; a long one is not copied on its way."""
    return PickleBuffer(payload) if payload else payload
