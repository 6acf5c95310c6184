"""What jobs have made → audited as any upload is, and served; or the job has failed.

Any worker may do it, one at a time. One that is killed meanwhile is followed by another: what was
published is published again as the same.
"""

import asyncio
import hashlib
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from api.background import beside
from api.errors import (
    NameElsewhereError,
    NameTakenError,
    NotRemovableError,
    RetryError,
    StoreUnwritableError,
    UploadsFullError,
)
from api.models.catalogue import Upload
from api.models.uploaded import writing
from api.models.uploads import UploadManager
from treeline.errors import JobError, TreelineError
from treeline.files import CHUNK_BYTES
from treeline.jobs.documents import Ending, JobLineage, cut
from treeline.jobs.exits import Reason
from treeline.jobs.spool import MODEL, Job, Spool

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 10.0  # after a fault: each time the model is copied and tried anew
OF_THE_NAME = (NameElsewhereError, NameTakenError, NotRemovableError, UploadsFullError)
LATER = (RetryError, StoreUnwritableError)

logger = logging.getLogger(__name__)


class Adopter:
    """Publishes the models of jobs, ends these, and drops the inputs of those that have ended.

    With `keep_inputs` they stay as long as the job.
    """

    def __init__(self, spool: Spool, uploads: UploadManager, *, keep_inputs: bool) -> None:
        self._spool = spool
        self._uploads = uploads
        self._keep_inputs = keep_inputs
        self._emptied: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for models beside the requests."""
        try:
            await asyncio.to_thread(self._spool.create)
        except OSError as error:  # a disk that cannot be written stops no prediction
            logger.error("the folder of jobs cannot be made: %s", error)
        async with beside(self._looking()):
            yield

    async def _looking(self) -> None:
        while True:
            pause = AGAIN_SECONDS
            try:
                await asyncio.to_thread(self._drop_inputs)
                await self.look()
                pause = LOOK_SECONDS
            except LATER as error:
                logger.warning("a model of a job is tried again: %s", error)
            except Exception:
                logger.exception("models of jobs are looked for again")
            await asyncio.sleep(pause)

    def _drop_inputs(self) -> None:
        """Drop them, whoever ended the job; a job is looked at once by each process."""
        ended = set() if self._keep_inputs else set(self._spool.ids("ended"))
        for id in ended - self._emptied:
            self._spool.drop_inputs(id)
        self._emptied = ended

    async def look(self) -> None:
        """Take on what is there, unless another worker does; raises the first error that passes.

        One job that fails so keeps no other one waiting.
        """
        if not await asyncio.to_thread(self._spool.ids, "checking"):
            return
        failed: list[Exception] = []
        with self._spool.locked("adoption", wait=False) as alone:
            for job in await asyncio.to_thread(self._spool.jobs, "checking") if alone else ():
                try:
                    await self._adopt(job)
                except Exception as error:
                    failed.append(error)
        if failed:
            raise failed[0]

    async def _adopt(self, job: Job) -> None:
        if job.cancelling:
            await self._end(job, Ending(state="cancelled", ended=datetime.now(UTC)))
            return
        if not await asyncio.to_thread((job.folder / MODEL).is_file):
            await self._fail(job, "output", JobError("its model is not there any more"))
            return
        try:
            version = await self._published(job)
        except LATER:
            raise
        except OF_THE_NAME as error:
            await self._fail(job, "name", error)
        except TreelineError as error:
            await self._fail(job, "audit", error)
        else:
            await self._end(job, Ending(state="done", version=version, ended=datetime.now(UTC)))

    async def _published(self, job: Job) -> str:
        """Serve the model of a job, and return its version; raises TreelineError."""
        order = job.order
        lineage = JobLineage(
            id=order.id,
            owner=order.owner,
            kind=order.kind,
            image=job.run.image if job.run is not None else "",
            files=order.files,
        )
        with self._uploads.draft() as draft:
            with writing(draft.parent):
                sha256, size = await asyncio.to_thread(copied, job.folder / MODEL, draft)
            upload = Upload(sha256=sha256, size_bytes=size, uploaded=datetime.now(UTC), job=lineage)
            await self._uploads.adopt(order.model, draft, upload)
        return upload.version

    async def _fail(self, job: Job, reason: Reason, error: TreelineError) -> None:
        ending = Ending(
            state="failed", reason=reason, detail=cut(str(error)), ended=datetime.now(UTC)
        )
        await self._end(job, ending)

    async def _end(self, job: Job, ending: Ending) -> None:
        logger.info("the job %s for %s is %s", job.order.id, job.order.model, ending.state)
        await asyncio.to_thread(self._ended, job, ending)

    def _ended(self, job: Job, ending: Ending) -> None:
        with suppress(FileNotFoundError):
            self._spool.end(job.order.id, ending, place="checking")
            (self._spool.root / "ended" / job.order.id / MODEL).unlink()  # the store has it


def copied(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file; return its SHA-256 and its size in bytes."""
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, CHUNK_BYTES)
    with target.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest(), target.stat().st_size
