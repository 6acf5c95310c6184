"""One part of a batch → what becomes of it, apart from the worker."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from pickle import PickleBuffer
from time import monotonic
from typing import TypeVar

from api.batch.computing import begin_here, compute_here, finish_here, take_here
from api.batch.jobs import Job, Part, Payload
from api.batch.pool import Pools
from api.batch.predicting import predict, predict_apart
from api.batch.writing import to_parquet
from api.prediction.predictor import Predictor

T = TypeVar("T")
BESIDE = frozenset({"onnx", "pickle"})  # H2O has its own process, which serves the worker


class SeparateBatch:
    """The parts of one batch, of which the worker itself reads none."""

    def __init__(self, predictor: Predictor, pools: Pools, deadline: float) -> None:
        """Compute for a model, until a moment of the monotonic clock."""
        self._predictor, self._pools, self._deadline = predictor, pools, deadline
        self._signature = predictor.signature.document()
        self._beside = predictor.signature.runtime in BESIDE

    async def begin(self, job: Job, held: Payload) -> bytes:
        """Check the columns of a table, and return the head of the answer; raises TreelineError."""
        return await self._run(begin_here, self._signature, job, sent(held))

    async def part(self, job: Job, payload: Payload, first: int) -> Part:
        """Return what becomes of a part; raises TreelineError.

        Where the processes do not have the model, that of the worker predicts what they have read.
        """
        if self._beside and job.exported:
            found = await self._run(compute_here, job, sent(payload), first)
            if isinstance(found, Part):
                return found
            self._beside = False
        taken = await self._run(take_here, self._signature, job, sent(payload), first)
        if isinstance(taken, Part):
            return taken
        if (elsewhere := self._predictor.predict_apart) is not None:
            prediction = await predict_apart(elsewhere, taken.matrix)
        else:
            prediction = await asyncio.to_thread(predict, self._predictor.model, taken.matrix)
        return await self._run(finish_here, self._signature, job, taken, prediction)

    async def to_parquet(self, stream: Path, target: Path) -> None:
        """Make a Parquet file of a finished answer, where nothing of strangers is read."""
        await self._pools.writers.run(to_parquet, stream, target, deadline_seconds=self._seconds())

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._pools.readers.run(function, *arguments, deadline_seconds=self._seconds())

    def _seconds(self) -> float:
        return max(self._deadline - monotonic(), 0.001)


def sent(payload: Payload) -> object:
    """Return a payload as it goes to another process; a long one is not copied on its way."""
    return PickleBuffer(payload) if isinstance(payload, bytearray) and payload else payload
