"""Rows that are asked for at the same moment are predicted in one run, each as if it were alone."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from api.inference.micro_batching import (
    LONG_SECONDS,
    MOST_ROWS,
    MOST_RUNS,
    MicroBatcher,
    Predicted,
)
from tests.serving import ROOT
from treeline.artifact import Prediction
from treeline.artifact.store import ArtifactStore, Model
from treeline.contract.encoding import Matrix


class Doubling:
    """A model that doubles the first feature, and counts its runs; it fails at a negative one."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, matrix: Matrix) -> Prediction:
        self.runs.append(len(matrix))
        if (matrix < 0).any():
            raise ValueError("a negative feature")
        return Prediction(values=matrix[:, 0] * 2)


def together(gathering: MicroBatcher, rows: list[list[float]]) -> list[Predicted | BaseException]:
    """Ask for all rows in one turn of an event loop."""

    async def ask() -> list[Predicted | BaseException]:
        asked = [gathering.submit(row) for row in rows]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


def test_rows_of_one_turn_are_predicted_in_one_run_and_told_apart() -> None:
    model = Doubling()
    found = together(MicroBatcher(model), [[float(number)] for number in range(5)])
    assert [each.value for each in found if isinstance(each, Predicted)] == [0, 2, 4, 6, 8]
    assert model.runs == [5]


def test_a_row_that_is_alone_is_given_company() -> None:
    model = Doubling()
    assert together(MicroBatcher(model), [[3.0]]) == [Predicted(None, None, 6.0)]
    assert MicroBatcher(model).alone([4.0]) == Predicted(None, None, 8.0)
    assert model.runs == [2, 2]


def test_a_crowd_is_predicted_in_several_runs() -> None:
    model = Doubling()
    found = together(MicroBatcher(model), [[1.0]] * (MOST_ROWS + 2))
    assert found == [Predicted(None, None, 2.0)] * (MOST_ROWS + 2)
    assert model.runs == [MOST_ROWS, 2]


def test_a_run_that_fails_is_told_to_its_callers_and_the_next_one_goes_well() -> None:
    gathering = MicroBatcher(Doubling())
    found = together(gathering, [[1.0], [-1.0]])
    assert [str(each) for each in found] == ["a negative feature"] * 2
    assert together(gathering, [[1.0]]) == [Predicted(None, None, 2.0)]


def test_a_caller_that_has_given_up_keeps_nobody_from_an_answer() -> None:
    gathering = MicroBatcher(Doubling())

    async def ask() -> Predicted:
        first, second = gathering.submit([1.0]), gathering.submit([2.0])
        first.cancel()
        return await second

    assert asyncio.run(ask()) == Predicted(None, None, 4.0)


def exported() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "model").glob("*/artifact/model.onnx"))


def models_of(models: Path) -> list[Model]:
    """Return the tiny models, and those exported in this repository."""
    stores = [ArtifactStore(folder) for folder in (models, ROOT / "model") if folder.is_dir()]
    there = {path.parent.name for path in exported()}
    return [
        store.load(name)
        for store in stores
        for name in store.names()
        if store is stores[0] or name in there
    ]


@pytest.mark.parametrize("company", [1, 2, 7, 40])
def test_what_a_record_is_answered_does_not_depend_on_its_company(
    models: Path, company: int
) -> None:
    for model in models_of(models):
        gathering = MicroBatcher(model.runtime.predict)
        example = model.encoder.row(model.signature.example.record)
        others = np.random.default_rng(company).uniform(0, 2, (company, len(example)))
        rows = [example, *others.astype(np.float32).tolist()]
        assert together(gathering, rows)[0] == gathering.alone(example)
        assert together(gathering, rows[::-1])[-1] == gathering.alone(example)


class Slow(Doubling):
    """A model that takes long, and no end of it until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, matrix: Matrix) -> Prediction:
        predicted = super().__call__(matrix)
        time.sleep(2 * LONG_SECONDS)
        self.may_go_on.wait()
        return predicted


def slow_one() -> tuple[Slow, MicroBatcher]:
    model = Slow()
    gathering = MicroBatcher(model)
    gathering.warm([1.0])
    model.runs.clear()
    return model, gathering


def test_a_slow_model_that_many_ask_leaves_threads_to_another_one() -> None:
    (busy, many), (_, other) = slow_one(), slow_one()

    async def ask() -> float | None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_RUNS + 1))
        busy.may_go_on.clear()
        waiting = []
        for number in range(20):  # each in a turn of its own
            waiting.append(many.submit([float(number)]))
            await asyncio.sleep(0)
        try:
            answered = (await asyncio.wait_for(other.submit([4.0]), timeout=30)).value
        finally:
            busy.may_go_on.set()
        assert [each.value for each in await asyncio.gather(*waiting)] == [*range(0, 40, 2)]
        return answered

    assert asyncio.run(ask()) == 8.0
    assert busy.runs == [2, 2, 18], "who came while it was busy is predicted together"


def test_a_slow_run_that_fails_is_told_and_those_who_wait_are_answered() -> None:
    busy, many = slow_one()

    async def ask() -> list[Predicted | BaseException]:
        busy.may_go_on.clear()
        waiting = []
        for value in (-1.0, -1.0, 3.0):
            waiting.append(many.submit([value]))
            await asyncio.sleep(0)
        busy.may_go_on.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)
    assert third == Predicted(None, None, 6.0)
