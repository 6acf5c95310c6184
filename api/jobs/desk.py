"""The desk of training jobs: takes them, tells how they are, cancels them.

Everything is in the spool, on disk: workers and replicas need not know of each other, and a restart
forgets nothing. Limits count before a body is read.
"""

import asyncio
import codecs
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from starlette.requests import Request

from api.errors import JobOverError, JobsFullError, JobUnknownError, StateFolderError
from api.http.bodies import Bodies
from api.jobs.forms import received
from api.settings import Settings
from treeline.errors import JobError
from treeline.jobs.documents import Ending, Order, new_id
from treeline.jobs.spool import LOG, PLACES, Job, Spool

LOOK_SECONDS = 0.5
FOLLOW_SECONDS = 600.0
FULL_SECONDS = 60
PIECE_BYTES = 64 << 10
CLOSED = 0o700

Value = TypeVar("Value")


def spool_of(settings: Settings) -> Spool:
    """Return the folder of jobs that the settings name."""
    return Spool(settings.jobs_dir or settings.state_dir / "jobs")


class JobDesk:
    """Jobs of one spool, each seen only by the keys of the name that ordered it."""

    def __init__(self, settings: Settings, bodies: Bodies) -> None:
        self._settings = settings
        self._bodies = bodies
        self.spool = spool_of(settings)
        self.follow_seconds = FOLLOW_SECONDS

    async def submit(
        self, request: Request, owner: str, check: Callable[[str, str], Awaitable[None]]
    ) -> Job:
        """Receive a job and queue it; `check` refuses names of models that `owner` may not have.

        Raises JobsFullError, what `check` raises, and what the body deserves.
        """
        await self._apart(self._check_room, owner)
        id = new_id()
        with reachable(), self.spool.draft(id) as draft:
            most = self._settings.max_job_bytes
            sent = await received(request, self._bodies, draft, most_bytes=most)
            await check(sent.model, owner)
            order = Order(
                id=id,
                owner=owner,
                model=sent.model,
                kind=sent.kind,
                network=sent.network,
                received=datetime.now(UTC),
                files=sent.files,
            )
            await self._apart(self._queue, draft, order)
        return await self.find(id, owner)

    async def find(self, id: str, owner: str) -> Job:
        """Return a job; raises JobUnknownError where there is none, or none of that owner."""
        job = await self._apart(self.spool.find, id)
        if job is None or job.order.owner != owner:
            raise JobUnknownError(f"There is no job {id!r} of this key; GET /v1/jobs lists them.")
        return job

    async def jobs(self, owner: str) -> list[Job]:
        """Return the jobs of an owner, the newest first."""
        jobs = await self._apart(self.spool.jobs, *PLACES)
        return [job for job in reversed(jobs) if job.order.owner == owner]

    async def cancel(self, id: str, owner: str) -> Job:
        """Ask for the end of a job; raises JobUnknownError, and JobOverError where it has ended."""
        job = await self.find(id, owner)
        if job.place == "ended":
            raise JobOverError(f"The job has ended: it is {job.state}.")
        ending = Ending(state="cancelled", detail="as its owner wished", ended=datetime.now(UTC))
        await self._apart(self.spool.cancel, job, ending)
        return await self.find(id, owner)

    async def log(self, job: Job, *, follow: bool) -> AsyncIterator[bytes]:
        """Yield what a job has written, as UTF-8.

        With `follow` until it has run, but not for longer than `follow_seconds`: who follows holds
        one of the streams of a worker.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        id, until = job.order.id, time.monotonic() + self.follow_seconds
        stream: BinaryIO | None = None
        try:
            while True:
                late = not follow or time.monotonic() > until
                over = late or not await self._apart(self._may_write, id)
                stream = stream or await self._apart(self._opened, id)
                while stream is not None and (read := await self._apart(stream.read, PIECE_BYTES)):
                    yield decoder.decode(read).encode()
                if over:
                    yield decoder.decode(b"", final=True).encode()
                    return
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if stream is not None:
                stream.close()

    def runner_seen(self) -> datetime | None:
        """Return when a runner was last there; None where there never was one."""
        seen = self.spool.beat_seen()
        return None if seen is None else datetime.fromtimestamp(seen, UTC)

    def _check_room(self, owner: str) -> None:
        """Refuse before a body is read what would be refused after it."""
        self.spool.create()
        waiting = self.spool.jobs("queued", "running", "checking")
        own = sum(job.order.owner == owner for job in waiting)
        if own >= self._settings.jobs_per_key:
            raise JobsFullError(
                f"{own} jobs of this key have not ended, and API_JOBS_PER_KEY admits no more: "
                "wait, or cancel one.",
                seconds=FULL_SECONDS,
            )
        if len(waiting) >= self._settings.jobs_waiting:
            raise JobsFullError(
                f"{len(waiting)} jobs have not ended, and API_JOBS_WAITING admits no more.",
                seconds=FULL_SECONDS,
            )

    def _queue(self, draft: Path, order: Order) -> None:
        with self.spool.locked():
            self._check_room(order.owner)
            self.spool.submit(draft, order)
            self.spool.clean(most=self._settings.jobs_ended)

    def _may_write(self, id: str) -> bool:
        """Tell whether a job may still write to its log."""
        job = self.spool.find(id)
        return job is not None and job.place in ("queued", "running")

    def _opened(self, id: str) -> BinaryIO | None:
        """Return the log of a job where there is one yet."""
        job = self.spool.find(id)
        if job is None:
            return None
        try:
            return open(os.open(job.folder / LOG, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except FileNotFoundError:
            return None

    async def _apart(self, function: Callable[..., Value], *given: object) -> Value:
        """Do what touches the disk in a thread; raises StateFolderError where that fails."""
        with reachable():
            return await asyncio.to_thread(partial(function, *given))


@contextmanager
def reachable() -> Iterator[None]:
    """Turn what fails of the folder of jobs into StateFolderError."""
    try:
        yield
    except JobError as error:
        raise StateFolderError(str(error)) from error
    except OSError as error:
        raise StateFolderError(
            f"The folder of jobs fails ({error.strerror}): make it writable for the service, and "
            "see that the disk has room."
        ) from error
