"""Strangers' graphs → processes beside the worker, each graph always in the same one.

So a graph that takes long keeps only those waiting that share its process; and when its runs cost
their process often enough in a row, it is not run for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TypeVar

from api.errors import RunCrashedError, RunStarvedError, RunTooLongError, TooBusyError
from api.inference import sessions
from api.inference.graph import Array, Contract, GraphFile, Output, TensorSpec
from api.inference.images import ImageInput
from api.sandbox.limits import Limits
from api.sandbox.process import Plan
from api.sandbox.sandbox import Sandbox, State
from api.settings import Settings
from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix
from treeline.errors import TreelineError

T = TypeVar("T")
ONNX_FILE = "api.inference.onnx_file"  # sessions reach it by name
MOST_LOST = 3  # runs in a row that cost their process
REST_SECONDS = 60.0  # where they take too long; else two, then four, up to so many
LOST: dict[type[TreelineError], str] = {
    RunTooLongError: "took longer than API_RUN_SECONDS admits",
    RunStarvedError: "needed more memory than API_RUN_MEMORY_BYTES admits",
    RunCrashedError: "broke the process that it ran in",
}
CLASSES = (Contract, TensorSpec, Prediction)


@dataclass
class FailedRuns:
    """How many runs of a graph in a row cost their process, why, and until when it rests."""

    name: str
    runs: int = 0
    why: str = ""
    until: float = 0.0

    def add(self, error: TreelineError) -> None:
        """Count one more, and let the graph rest where they are too many."""
        self.runs += 1
        self.why = LOST[type(error)]
        if self.runs >= MOST_LOST:
            growing = min(2.0 ** (self.runs - MOST_LOST + 1), REST_SECONDS)
            self.until = monotonic() + (
                REST_SECONDS if isinstance(error, RunTooLongError) else growing
            )


class Graphs:
    """Runs graphs apart, with a limit of time and memory."""

    def __init__(self, settings: Settings) -> None:
        """Have as many processes as the settings say, once there is something to run."""
        limits = Limits(
            memory_bytes=settings.run_memory_bytes,
            memory_setting="API_RUN_MEMORY_BYTES",
            seconds_setting="API_RUN_SECONDS",
        )
        plan = Plan(limits, imports=(sessions.__name__, ONNX_FILE), classes=CLASSES)
        self._seconds = settings.run_seconds
        self._sandboxes = [Sandbox("uploaded models", plan) for _ in range(settings.run_processes)]
        self._losses: dict[str, FailedRuns] = {}
        self._lock = Lock()

    def contract(self, graph: GraphFile) -> Contract:
        """Return what a graph takes and gives; raises ArtifactRejectedError and run errors."""
        return self._wait(graph, sessions.contract)

    def predict(self, graph: GraphFile, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features), in a thread that waits."""
        return self._wait(graph, sessions.predict, matrix)

    async def predict_apart(self, graph: GraphFile, matrix: Matrix) -> Prediction:
        """Predict for a float32 matrix of shape (n_rows, n_features)."""
        return await self._run(graph, sessions.predict, matrix)

    async def compute(
        self, graph: GraphFile, feeds: Mapping[str, Array], *, place: str
    ) -> dict[str, Output]:
        """Return the outputs of a graph by name; raises InvalidInputError and run errors."""
        return await self._run(graph, sessions.compute, feeds, place)

    async def answer_values(self, graph: GraphFile, body: bytes, head: Mapping[str, str]) -> bytes:
        """Return the JSON of an answer to one of values; raises what they deserve."""
        return await self._run(graph, sessions.answer_values, body, head)

    async def answer_picture(
        self, graph: GraphFile, body: bytes, image: ImageInput, head: Mapping[str, str]
    ) -> bytes:
        """Return the JSON of an answer to a picture; raises what it deserves."""
        return await self._run(graph, sessions.answer_picture, body, image, head)

    def stuck(self) -> dict[str, str]:
        """Return, by name, which models rest as their runs cost their process."""
        now = monotonic()
        with self._lock:
            return {
                each.name: f"its last {each.runs} runs were ended, the last one as it {each.why}; "
                f"it is run again in {each.until - now:.0f} seconds"
                for each in self._losses.values()
                if each.until > now
            }

    def state(self) -> State:
        """Return what all processes together are at."""
        return State.of_all([sandbox.state() for sandbox in self._sandboxes])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Leave no process behind."""
        try:
            yield
        finally:
            await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """End all processes, and what runs in them."""
        for sandbox in self._sandboxes:
            sandbox.stop()

    async def _run(self, graph: GraphFile, function: Callable[..., T], *arguments: object) -> T:
        return await self._sandbox(graph).run(
            function,
            *(graph, *arguments),
            deadline_seconds=self._seconds,
            around=lambda: self._noted(graph),
        )

    def _wait(self, graph: GraphFile, function: Callable[..., T], *arguments: object) -> T:
        return self._sandbox(graph).call(
            function,
            *(graph, *arguments),
            deadline_seconds=self._seconds,
            around=lambda: self._noted(graph),
        )

    @contextmanager
    def _noted(self, graph: GraphFile) -> Iterator[None]:
        """Note how a run ends before the next one begins, so that none slips through."""
        self._check(graph)
        try:
            yield
        except tuple(LOST) as error:
            self._note_lost(graph, error)
            raise
        self._note_done(graph)

    def _sandbox(self, graph: GraphFile) -> Sandbox:
        self._check(graph)
        return self._sandboxes[int(graph.sha256[:8], 16) % len(self._sandboxes)]

    def _check(self, graph: GraphFile) -> None:
        """Raise TooBusyError for a graph that rests."""
        losses = self._losses.get(graph.sha256)
        if losses is not None and (seconds := losses.until - monotonic()) > 0:
            raise TooBusyError(
                f"{losses.runs} runs of {graph.name} in a row were ended, the last one as it "
                f"{losses.why}; it rests. Ask for less, later.",
                seconds=seconds,
            )

    def _note_lost(self, graph: GraphFile, error: TreelineError) -> None:
        with self._lock:
            self._losses.setdefault(graph.sha256, FailedRuns(graph.name)).add(error)

    def _note_done(self, graph: GraphFile) -> None:
        if graph.sha256 in self._losses:
            with self._lock:
                self._losses.pop(graph.sha256, None)
