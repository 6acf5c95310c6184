"""The body of a batch, piece by piece → parts for the pool → the answer, in a file.

The answer begins when the body has ended: an ordinary client reads nothing before it has sent
everything, so answering while it sends would end with both waiting for each other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from api.contract.faults import MAX_PROBLEMS
from api.errors import BodyTooLargeError, RunTooLongError
from api.formats.arrow_lengths import too_many_rows
from api.formats.cutting import Cutter, gathered, header, header_bytes, until_text
from api.formats.json import JsonCutter, begins_list
from api.formats.rows import Job, Part, Payload, check_header
from api.http.bodies import Limit
from api.http.media_types import Format
from api.inference.batch_pool import Draft, Drafts, Pools, SeparateBatch
from api.inference.record import Predictor
from api.settings import Settings
from treeline.errors import InvalidInputError, Problem

CHUNK_BYTES = 1 << 20
ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
ENDING_SECONDS = 5.0  # which parts of a batch that is refused have to end by themselves
AHEAD = 2  # parts that wait beside those that are computed, so that no process does


@dataclass
class Tally:
    """What has become of the rows so far."""

    rows: int = 0
    bad_rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    ignored: dict[str, None] = field(default_factory=dict)


class Batch:
    """One batch, from its first byte to its answer."""

    def __init__(
        self, job: Job, predictor: Predictor, *, pools: Pools, settings: Settings, log: Any = None
    ) -> None:
        """Compute parts in the processes of the pools.

        `log` takes the frames of rows, where there is a prediction log.
        """
        self._log = log
        self._job, self._signature = job, predictor.signature
        self._settings = settings
        self._deadline = monotonic() + settings.batch_seconds
        self._apart = SeparateBatch(predictor, pools, self._deadline)
        self._drafts = Drafts(settings.state_dir)
        self._waiting: deque[asyncio.Task[Part]] = deque()
        self._open: list[Draft] = []
        self._payload: Payload = b""
        self._joint = b""
        self.tally = Tally()

    async def answer(self, body: AsyncIterator[bytes], given: Format) -> Draft:
        """Return the file of the answer; raises TreelineError."""
        seconds = self._settings.batch_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(body, given)
        except TimeoutError as error:
            raise RunTooLongError(
                f"The batch took more than {seconds:g} seconds, from its first byte on; send fewer "
                "rows at a time, or raise API_BATCH_SECONDS."
            ) from error

    async def _answer(self, body: AsyncIterator[bytes], given: Format) -> Draft:
        draft = self._out = self._new()
        readers = {"lines": self._by_lines, "whole": self._json, "spooled": self._spooled}
        await readers[given.cut](body)
        while self._waiting:
            await self._settle()
        self._check()
        await self._write(self._tail())
        if self._job.wanted != "parquet":
            self._keep_only(draft)
            return draft
        target = self._new()
        await self._apart.to_parquet(draft.path, target.path)
        target.size = target.path.stat().st_size
        self._keep_only(target)
        return target

    async def give_up(self, *, at_once: bool) -> None:
        """Leave nothing of a batch that is not answered.

        Ending a part ends its process, which others have to wait for: so only where the caller has
        gone it is done at once.
        """
        if self._waiting and not at_once:
            await asyncio.wait(self._waiting, timeout=ENDING_SECONDS)
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self._keep_only()

    async def _by_lines(self, body: AsyncIterator[bytes]) -> None:
        csv = self._job.given == "csv"
        longest = self._settings.max_body_bytes
        cutter = Cutter(
            chunk_bytes=CHUNK_BYTES,
            row_bytes=longest,
            most_rows=self._job.part_rows,
            quoting=csv,
        )
        most = header_bytes(self._signature.features)
        begun = not csv
        if begun:
            await self._inspect()
        async for piece in body:
            if begun:
                await self._hand_over(cutter.feed(piece))
            elif (row := cutter.first_row(piece, most_bytes=most)) is not None:
                await self._begin(row)
                begun = True
        if not begun:
            await self._begin(cutter.last_row())
        await self._hand_over(cutter.rest())

    async def _begin(self, first_row: bytes) -> None:
        """Take the header of a CSV."""
        names = header(first_row)
        ignored = check_header(names, self._signature, place="line 1: ", extra=self._job.extra)
        self.tally.ignored |= dict.fromkeys(ignored)
        self._job = replace(self._job, names=tuple(names))
        await self._inspect()

    async def _hand_over(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        for line, chunk in chunks:
            await self._submit(chunk, line)

    async def _json(self, body: AsyncIterator[bytes]) -> None:
        """Take a list element by element; anything else is held as a whole."""
        pieces = Limit.of_whole_tables(self._settings).within(body)
        lead = await until_text(pieces)
        text = begins_list(lead)
        if text is None:
            held = bytearray(lead)
            async for piece in pieces:
                held += piece
            self._job = replace(self._job, path=str(self._new().path))
            await self._inspect()
            await self._all_of(held)
            return
        await self._inspect()
        cutter = JsonCutter(
            chunk_bytes=CHUNK_BYTES,
            row_bytes=self._settings.max_body_bytes,
            most_rows=self._job.part_rows,
        )
        await self._hand_over(cutter.feed(text))
        async for piece in pieces:
            await self._hand_over(cutter.feed(piece))
        await self._hand_over(cutter.rest())

    async def _spooled(self, body: AsyncIterator[bytes]) -> None:
        """Take a table that is read in parts; redacted features must not reach the disk."""
        spool = self._new()
        self._job = replace(self._job, path=str(spool.path))
        held = bytearray()
        hidden = self._job.redacted.intersection(self._signature.record_names)
        most = self._settings.max_whole_bytes
        async for piece in gathered(body):
            if not hidden:
                await asyncio.to_thread(spool.write, piece)
                continue
            held += piece
            if len(held) > most:
                raise BodyTooLargeError(
                    f"The body is larger than {most} bytes, which is the most that is held in "
                    "memory, and with redacted features it is not written to the disk; send CSV "
                    "or JSON lines, or raise API_MAX_WHOLE_BYTES."
                )
        await self._inspect(held)
        await self._all_of(held)

    async def _all_of(self, held: Payload) -> None:
        """Have a table read part by part, until there is none."""
        part = 0
        while not await self._submit(held, part):
            part += 1

    async def _inspect(self, held: Payload = b"") -> None:
        """Look at what there is before the first row, and write what stands before all."""
        head = await self._apart.begin(self._job, held)
        await self._write(b"[" if self._job.wanted == "json" else head)

    async def _submit(self, payload: Payload, first: int) -> bool:
        """Have a part computed, while not too many are; tell whether one was past the end."""
        ended = False
        while len(self._waiting) >= self._apart.processes + AHEAD:
            ended = await self._settle() or ended
        if not ended:
            work = self._apart.part(self._job, payload, first)
            self._waiting.append(asyncio.create_task(work))
        return ended

    async def _settle(self) -> bool:
        """Take the answer of the part that was asked for first; tell whether there was none."""
        part = await self._waiting[0]
        self._waiting.popleft()
        tally = self.tally
        tally.rows += part.rows
        tally.bad_rows += part.bad_rows
        tally.problem_count += part.problem_count
        tally.ignored |= dict.fromkeys(part.ignored)
        tally.problems += part.problems[: MAX_PROBLEMS - len(tally.problems)]
        if tally.rows > self._job.most_rows:
            raise too_many_rows(self._job.most_rows)
        if tally.problem_count >= MAX_PROBLEMS:
            self._check(" so far; what follows was not read" if self._waiting else "")
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

    def _check(self, so_far: str = "") -> None:
        """Raise InvalidInputError when there are bad rows that are not to be reported."""
        tally = self.tally
        if not tally.bad_rows or self._job.reporting:
            return
        problems = list(tally.problems)
        if (more := tally.problem_count - len(problems)) > 0:
            text = (
                f"and {more} more problems; {tally.bad_rows} of {tally.rows} rows are bad{so_far}"
            )
            problems.append(Problem("body", text))
        raise InvalidInputError(problems)

    def _new(self) -> Draft:
        draft = self._drafts.new()
        self._open.append(draft)
        return draft

    def _keep_only(self, *drafts: Draft) -> None:
        for draft in self._open:
            if draft not in drafts:
                draft.remove()
        self._open.clear()
