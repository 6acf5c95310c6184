"""Rows that are asked for at the same moment → one run of the model, each caller its own row.

A run costs much the same for one row as for fifty. Whatever requests the event loop finds ready in
one turn are predicted together in the next, so that nobody waits for anybody who is not there yet.

What a row is given does not depend on its company: with two rows or more, matrix products go the
same way for every row; a single one takes another way, which differs in the last digit. So a row
that is alone is predicted twice.

A model that takes long is run in a thread, so that those of other models and the health checks need
not wait for it: a thread costs more than the run of a model that does not. It has few threads at a
time, lest none is left for another model that takes long: what is asked for meanwhile is predicted
together when one of them has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np

from treeline.artifact import Prediction
from treeline.contract.encoding import Matrix

MOST_ROWS = 256  # in one run, lest the first waits for the last
MOST_RUNS = 2  # of one model at a time, in threads
LONG_SECONDS = 0.005  # for that many rows: what every other request may have to wait


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model says of one row: the code of a class and probabilities, or a value."""

    label: int | None
    scores: list[float] | None
    value: float | None


Caller = asyncio.Future[Predicted]
Run = asyncio.Future[list[Predicted]]


class MicroBatcher:
    """Predicts rows of a model, those of one turn of the event loop together."""

    def __init__(
        self,
        predict: Callable[[Matrix], Prediction],
        *,
        apart: Callable[[Matrix], Awaitable[Prediction]] | None = None,
        rests: Callable[[], bool] | None = None,
    ) -> None:
        """Predict by `predict`; where the model runs in another process, requests by `apart`.

        `rests` tells whether the model must be loaded first, which takes long.
        """
        self._predict, self._apart, self._rests = predict, apart, rests
        self._under_way: set[asyncio.Task[None]] = set()
        self._long = False
        self._runs = 0
        self._rows: list[list[float]] = []
        self._callers: list[Caller] = []

    def alone(self, row: Sequence[float]) -> Predicted:
        """Predict one row here and now, the same as in any company."""
        return self._predicted([list(row)])[0]

    def warm(self, row: Sequence[float]) -> None:
        """Try the model on as many rows as a run may have, and remember whether that takes long."""
        if self._apart is not None:
            return
        rows = [list(row)] * MOST_ROWS
        self._predicted(rows)
        started = perf_counter()
        self._predicted(rows)
        self._long = perf_counter() - started > LONG_SECONDS

    def submit(self, row: list[float]) -> Caller:
        """Return what will hold the prediction of a row, in the next turn of the event loop."""
        loop = asyncio.get_running_loop()
        if not self._rows:
            loop.call_soon(self._turn)
        caller: Caller = loop.create_future()
        self._rows.append(row)
        self._callers.append(caller)
        return caller

    def _turn(self) -> None:
        if self._long or (self._rests is not None and self._rests()):
            self._turn_in_threads()
            return
        rows, callers = self._rows, self._callers
        self._rows, self._callers = [], []
        for start in range(0, len(rows), MOST_ROWS):
            part = slice(start, start + MOST_ROWS)
            if self._apart is not None:
                task = asyncio.ensure_future(
                    self._elsewhere(self._apart, callers[part], rows[part])
                )
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                for caller in callers[part]:
                    caller.add_done_callback(partial(_unless_awaited, task, callers[part]))
            else:
                self._answer(callers[part], rows[part])

    def _turn_in_threads(self) -> None:
        """Begin as many runs as may be under way; the end of one begins the next."""
        while self._rows and self._runs < MOST_RUNS:
            rows, self._rows = self._rows[:MOST_ROWS], self._rows[MOST_ROWS:]
            callers, self._callers = self._callers[:MOST_ROWS], self._callers[MOST_ROWS:]
            run = asyncio.get_running_loop().run_in_executor(None, self._predicted, rows)
            self._runs += 1
            run.add_done_callback(partial(self._ended, callers))

    def _ended(self, callers: list[Caller], run: Run) -> None:
        """Pass on what a thread has found, or how it failed, and begin with those who wait."""
        self._runs -= 1
        error = asyncio.CancelledError() if run.cancelled() else run.exception()
        if error is None:
            _answered(callers, run.result())
        else:
            _failed(callers, error)
        self._turn_in_threads()

    def _answer(self, callers: list[Caller], rows: list[list[float]]) -> None:
        try:
            predicted = self._predicted(rows)
        except Exception as error:  # a graph can fail in ways of its own
            _failed(callers, error)
        else:
            _answered(callers, predicted)

    async def _elsewhere(
        self,
        apart: Callable[[Matrix], Awaitable[Prediction]],
        callers: list[Caller],
        rows: list[list[float]],
    ) -> None:
        try:
            matrix = matrix_of(rows)
            predicted = predicted_of(await apart(matrix), matrix)[: len(rows)]
        except Exception as error:  # a graph can fail in ways of its own
            _failed(callers, error)
        else:
            _answered(callers, predicted)

    def _predicted(self, rows: list[list[float]]) -> list[Predicted]:
        """Predict rows of codes, in their order; one that is alone twice, see above."""
        matrix = matrix_of(rows)
        return predicted_of(self._predict(matrix), matrix)[: len(rows)]


def matrix_of(rows: list[list[float]]) -> Matrix:
    """Return rows of codes as float32 of shape (n_rows, n_features); one that is alone twice."""
    return np.array(rows if len(rows) > 1 else rows * 2, dtype=np.float32)


def predicted_of(prediction: Prediction, matrix: Matrix) -> list[Predicted]:
    """Return what is predicted, row by row."""
    nothing = [None] * len(matrix)
    labels, scores, values = (
        nothing if column is None else column.tolist()
        for column in (prediction.labels, prediction.scores, prediction.values)
    )
    return [Predicted(*each) for each in zip(labels, scores, values, strict=True)]


def _unless_awaited(task: asyncio.Task[None], callers: list[Caller], _: Caller) -> None:
    """End a run in another process for which nobody waits any more."""
    if all(caller.done() for caller in callers):
        task.cancel()


def _answered(callers: list[Caller], rows: list[Predicted]) -> None:
    for caller, predicted in zip(callers, rows, strict=True):
        if not caller.done():  # it may have been given up
            caller.set_result(predicted)


def _failed(callers: list[Caller], error: BaseException) -> None:
    for caller in callers:
        if not caller.done():
            caller.set_exception(error)
