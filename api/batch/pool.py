"""The processes beside a worker that batches go through, and what each may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec

from api.background import beside
from api.batch.computing import prepare
from api.batch.drafts import Drafts
from api.batch.jobs import EncodedPart, ModelAbsent, Part
from api.sandbox.limits import Limits
from api.sandbox.pool import Plan, Pool
from api.settings import Settings

TRIES = 2  # a part is computed again where its process was lost with the part of another
WARM_SECONDS = 2.0  # after the start of a worker, which has the processor to itself until then
WRITTEN_BYTES = 1 << 40  # of an answer, which is as long as its rows are many
READERS = ("api.batch.computing", "treeline.artifact.onnx")
ARROW = ("api.batch.arrow", "api.batch.arrow_answers")
PICKLES = ("treeline.artifact.pickled",)


@dataclass(frozen=True)
class Pools:
    """Processes that read what strangers send and write no file; and those that write Parquet."""

    readers: Pool
    writers: Pool

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
        readers = Pool(
            "batches",
            Plan(limits, imports=imports, classes=(ModelAbsent, Part, EncodedPart), warm=prepare),
            processes=settings.batch_processes,
            most_waiting=most,
            tries=TRIES,
        )
        writing = replace(limits, file_bytes=WRITTEN_BYTES)
        writers = Pool(
            "Parquet answers",
            Plan(writing, imports=imports, warm=prepare),
            processes=1,
            most_waiting=most,
        )
        return cls(readers, writers)

    @asynccontextmanager
    async def running(self, drafts: Drafts) -> AsyncIterator[None]:
        """Begin without the files of workers that were killed; leave no process behind."""
        await asyncio.to_thread(drafts.clear)
        async with self.readers.running(), self.writers.running(), beside(self._warm()):
            yield

    async def _warm(self) -> None:
        """Start a process once the worker has started, so that the first batch need not wait."""
        await asyncio.sleep(WARM_SECONDS)
        self.readers.warm()
