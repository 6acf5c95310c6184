"""A body and a graph → the JSON of an answer, with nobody else kept waiting meanwhile.

What onnxruntime computes it computes beside the interpreter, so a thread is enough. Reading and
writing JSON is work of the interpreter itself: where there is much of it, another process does it,
of those that compute batches.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from api.batch.pool import Pool
from api.tensors.graph import Array, TensorModel, TensorSpec, one_line
from api.tensors.values import VALUES, Values, written
from treeline.errors import InvalidInputError, Problem, ProblemsError, TreelineError

T = TypeVar("T")
MOST_THREADS = 4  # at once in each worker; each may hold a body and its arrays
LONG_BYTES = 512 << 10  # of JSON: what takes some ten milliseconds
LONG_NUMBERS = 50_000  # of an answer, likewise
Feeds = dict[str, Array]


@dataclass(frozen=True)
class Refused:
    """An error on its way from another process: errors with problems cannot travel as such."""

    kind: type[TreelineError]
    message: str
    problems: tuple[Problem, ...]

    def error(self) -> TreelineError:
        """Return the error as it was."""
        if issubclass(self.kind, ProblemsError):
            return self.kind(list(self.problems))
        return self.kind(self.message)


class Computing:
    """Reads, runs and writes, each where it is in nobody's way."""

    def __init__(self, pool: Pool) -> None:
        """Let the processes of `pool` do what is long."""
        self._pool = pool
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="tensors")

    async def values(self, values: Values, body: bytes) -> Feeds:
        """Return the arrays of a body; raises MalformedBodyError and InvalidInputError."""
        if len(body) < LONG_BYTES:
            return values.feeds(body)
        found = await self._pool.run(read_apart, values.inputs, body)
        if isinstance(found, Refused):
            raise found.error()
        return found

    async def apart(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what a call gives that leaves the interpreter to others, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    async def answer(self, model: TensorModel, feeds: Feeds, told: Mapping[str, str]) -> bytes:
        """Return the JSON of an answer; raises InvalidInputError."""
        outputs = await self.apart(run, model, feeds)
        if sum(found.size for found in outputs.values()) < LONG_NUMBERS:
            return written(outputs, told)
        return await self._pool.run(written, outputs, dict(told))


def read_apart(inputs: Sequence[TensorSpec], body: bytes) -> Feeds | Refused:
    """Return the arrays of a body, or why not; runs in another process."""
    try:
        return Values(inputs).feeds(body)
    except TreelineError as error:
        problems = error.problems if isinstance(error, ProblemsError) else ()
        return Refused(type(error), str(error), tuple(map(bearable, problems)))


def bearable(problem: Problem) -> Problem:
    """Return a problem without a value that is too long to travel, or to be repeated."""
    kept = problem.value if isinstance(problem.value, str | int | float | None) else None
    return Problem(problem.place, problem.message, kept)


def run(model: TensorModel, feeds: Feeds) -> dict[str, Array]:
    """Return the outputs of a model; raises InvalidInputError, as only its inputs can be wrong."""
    try:
        return model.run(feeds)
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        shapes = ", ".join(f"{name} {list(each.shape)}" for name, each in feeds.items())
        text = f"the model cannot compute {shapes}: {one_line(error)}; give what fits its graph"
        raise InvalidInputError([Problem(VALUES, text)]) from error
