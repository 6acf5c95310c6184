"""The body of a batch, piece by piece → parts for the pool → the answer, in a file.

The answer begins when the body has ended: an ordinary client reads nothing before it has sent
everything, so answering while it sends would end with both waiting for each other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from api.batch.bodies import gathered, header, limited
from api.batch.computing import (
    Job,
    OtherModelError,
    Part,
    Refusal,
    compute,
    compute_here,
    inspect,
    inspect_here,
    to_parquet,
)
from api.batch.cutting import Cutter
from api.batch.drafts import Draft, Drafts
from api.batch.formats import Format
from api.batch.pool import Pool
from api.batch.rows import check_header
from api.contract.validation import MAX_PROBLEMS
from api.errors import BodyTooLargeError
from api.settings import Settings
from treeline.artifact.store import Model
from treeline.errors import InvalidInputError, Problem

CHUNK_BYTES = 1 << 20
ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
AHEAD = 2  # parts that wait beside those that are computed, so that no process does


@dataclass
class Tally:
    """What has become of the rows so far."""

    rows: int = 0
    bad_rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0


class Batch:
    """One batch, from its first byte to its answer."""

    def __init__(
        self, job: Job, model: Model, *, pool: Pool, settings: Settings, log: Any = None
    ) -> None:
        """Compute parts in the pool; in a thread where the processes lack the very model.

        `log` takes the frames of rows, where there is a prediction log.
        """
        self._log = log
        self._job, self._model = job, model
        self._pool, self._settings = pool, settings
        self._drafts = Drafts(settings.state_dir)
        self._waiting: deque[asyncio.Task[Part | Refusal]] = deque()
        self._open: list[Draft] = []
        self._beside = True
        self._joint = b""
        self.tally = Tally()

    async def answer(self, body: AsyncIterator[bytes], given: Format) -> Draft:
        """Return the file of the answer; raises TreelineError."""
        draft = self._out = self._new()
        kept = {"lines": self._by_lines, "whole": self._whole, "spooled": self._spooled}
        await kept[given.cut](limited(body, self._settings.max_batch_bytes))
        while self._waiting:
            await self._settle()
        self._check()
        await self._write(self._tail())
        if self._job.wanted != "parquet":
            self._keep_only(draft)
            return draft
        target = self._new()
        await self._pool.run(to_parquet, draft.path, target.path)
        target.size = target.path.stat().st_size
        self._keep_only(target)
        return target

    async def give_up(self) -> None:
        """Leave nothing of a batch that is not answered."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self._keep_only()

    async def _by_lines(self, body: AsyncIterator[bytes]) -> None:
        csv = self._job.given == "csv"
        longest = self._settings.max_body_bytes
        cutter = Cutter(chunk_bytes=CHUNK_BYTES, row_bytes=longest, quoting=csv)
        begun = not csv
        if begun:
            await self._inspect()
        async for piece in body:
            if begun:
                await self._hand_over(cutter.feed(piece))
            elif (row := cutter.first_row(piece)) is not None:
                await self._begin(row)
                begun = True
        if not begun:
            await self._begin(cutter.last_row())
        await self._hand_over(cutter.rest())

    async def _begin(self, first_row: bytes) -> None:
        """Take the header of a CSV."""
        names = header(first_row)
        check_header(names, self._model.signature.features, place="line 1: ")
        self._job = replace(self._job, names=tuple(names))
        await self._inspect()

    async def _hand_over(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        for line, chunk in chunks:
            await self._submit(chunk, line)

    async def _whole(self, body: AsyncIterator[bytes]) -> None:
        pieces = []
        async for piece in limited(body, self._settings.max_whole_bytes, whole=True):
            pieces.append(piece)
        await self._inspect()
        await self._submit(b"".join(pieces), 0)

    async def _spooled(self, body: AsyncIterator[bytes]) -> None:
        spool = self._new()
        async for piece in gathered(body):
            await asyncio.to_thread(spool.write, piece)
        self._job = replace(self._job, path=str(spool.path))
        await self._inspect()
        part = 0
        while not await self._submit(b"", part):
            part += 1

    async def _inspect(self) -> None:
        """Look at what there is before the first row, and write what stands before all."""
        found = await self._compute(inspect_here, inspect)
        if isinstance(found, Refusal):
            raise InvalidInputError(list(found.problems))
        await self._write(b"[" if self._job.wanted == "json" else found)

    async def _submit(self, payload: bytes, first: int) -> bool:
        """Have a part computed, while not too many are; tell whether a former one was past the end.

        Parts of one spooled table are read by one process where they are asked for in order: with
        several processes they are computed one after the other.
        """
        ahead = self._pool.processes + AHEAD
        if self._job.path and self._pool.processes > 1:
            ahead = 1
        ended = False
        while len(self._waiting) >= ahead:
            ended = await self._settle() or ended
        if not ended:
            work = self._compute(compute_here, compute, payload, first)
            self._waiting.append(asyncio.create_task(work))
        return ended

    async def _compute(
        self, call: Callable[..., Any], otherwise: Callable[..., Any], *arguments: object
    ) -> Any:
        if self._beside:
            try:
                return await self._pool.run(call, self._job, *arguments)
            except OtherModelError:
                self._beside = False
        return await asyncio.to_thread(otherwise, self._model, self._job, *arguments)

    async def _settle(self) -> bool:
        """Take the answer of the part that was asked for first; tell whether there was none."""
        part = await self._waiting[0]
        self._waiting.popleft()
        if isinstance(part, Refusal):
            raise InvalidInputError(list(part.problems))
        tally = self.tally
        tally.rows += part.rows
        tally.bad_rows += part.bad_rows
        tally.problem_count += part.problem_count
        tally.problems += part.problems[: MAX_PROBLEMS - len(tally.problems)]
        if tally.rows > self._settings.max_batch_rows:
            raise BodyTooLargeError(
                f"The batch has more than {self._settings.max_batch_rows} rows; send fewer at a "
                "time, or raise API_MAX_BATCH_ROWS."
            )
        if not tally.bad_rows or self._job.reporting:
            await asyncio.to_thread(self._take, part)
        return part.ended

    def _take(self, part: Part) -> None:
        answer = part.answer
        if answer and self._job.wanted == "json":
            answer = self._joint + answer.removesuffix(b",")
            self._joint = b","
        self._out.write(answer)
        if part.frame:
            self._log.add(part.frame)

    async def _write(self, payload: bytes) -> None:
        await asyncio.to_thread(self._out.write, payload)

    def _tail(self) -> bytes:
        if self._job.wanted in ("arrow", "parquet"):
            return ARROW_END
        return b"]" if self._job.wanted == "json" else b""

    def _check(self) -> None:
        """Raise InvalidInputError when there are bad rows that are not to be reported."""
        tally = self.tally
        if not tally.bad_rows or self._job.reporting:
            return
        problems = list(tally.problems)
        if (more := tally.problem_count - len(problems)) > 0:
            text = f"and {more} more problems; {tally.bad_rows} of {tally.rows} rows are bad"
            problems.append(Problem("body", text))
        raise InvalidInputError(problems)

    def _new(self) -> Draft:
        draft = self._drafts.new()
        self._open.append(draft)
        return draft

    def _keep_only(self, *kept: Draft) -> None:
        for draft in self._open:
            if draft not in kept:
                draft.remove()
        self._open.clear()
