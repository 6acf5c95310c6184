"""A pool has one process until that one is always busy, and no call waits for another to start."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.sandbox.limits import Limits
from api.sandbox.pool import BUSY_SECONDS, SandboxPool
from api.sandbox.sandbox import Plan
from tests.api import sandboxed
from tests.processes import beside

PLAN = Plan(Limits(1 << 28, "API_MEMORY", "API_SECONDS"), imports=(sandboxed.__name__,))
CALL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def pool_of(processes: int, plan: Plan = PLAN) -> AsyncIterator[SandboxPool]:
    pool = SandboxPool("tests", plan, processes=processes, most_waiting=1000)
    async with pool.running():
        yield pool


async def processes(pool: SandboxPool, calls: int) -> list[int]:
    """Make calls beside each other, and return which process each of them was in."""
    function = sandboxed.number_of_process_after
    made = (pool.run(function, CALL_SECONDS, deadline_seconds=10) for _ in range(calls))
    return list(await asyncio.gather(*made))


async def busy(pool: SandboxPool, until: Callable[[], bool]) -> set[int]:
    """Keep a pool busy, never with nothing to do, until it is so; return its processes."""
    waiting: set[asyncio.Task[list[int]]] = set()
    seen: set[int] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline
        while len(waiting) < 4:
            waiting.add(asyncio.create_task(processes(pool, 1)))
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        seen |= {process for task in done for process in task.result()}
    return seen | {process for each in await asyncio.gather(*waiting) for process in each}


def test_what_is_soon_done_stays_with_one_process() -> None:
    async def run() -> None:
        async with pool_of(2) as pool:
            await processes(pool, 1)
            for _ in range(10):
                assert len(set(await processes(pool, int(BUSY_SECONDS / CALL_SECONDS / 2)))) == 1
            assert pool.ready == 1

    asyncio.run(run())


def test_calls_that_always_wait_start_another_process_and_none_waits_for_it() -> None:
    async def run() -> None:
        async with pool_of(2) as pool:
            [first] = await processes(pool, 1)
            assert await busy(pool, lambda: pool.ready == 2) == {first}
            both = await processes(pool, 8)
            assert len(set(both)) == 2
            assert both.count(first) == 4
            assert await processes(pool, 1) == [first]
            assert pool.state().crashed == 0

    asyncio.run(run())


def test_one_process_is_all_that_some_have() -> None:
    async def run() -> None:
        async with pool_of(1) as pool:
            [first] = await processes(pool, 1)
            until = time.monotonic() + 3 * BUSY_SECONDS
            assert await busy(pool, lambda: time.monotonic() > until) == {first}
            assert (pool.ready, pool.state().crashed) == (1, 0)

    asyncio.run(run())


def test_a_process_that_cannot_be_started_is_tried_again_and_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = tmp_path / "needed_to_start.py"
    needed.touch()
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    plan = Plan(PLAN.limits, imports=(*PLAN.imports, needed.stem))

    async def run() -> None:
        async with pool_of(2, plan) as pool:
            [first] = await processes(pool, 1)
            needed.unlink()
            failed = "tests: no process can be started"
            assert await busy(pool, lambda: failed in caplog.text) == {first}
            assert pool.ready == 1
            needed.touch()
            await busy(pool, lambda: pool.ready == 2)

    asyncio.run(run())


def test_it_leaves_no_process_behind_even_one_that_is_just_starting() -> None:
    before = beside(os.getpid())

    async def run() -> None:
        async with pool_of(2) as pool:
            await busy(pool, lambda: len(beside(os.getpid()) - before) == 2)
            assert pool.ready == 1

    asyncio.run(run())
    assert beside(os.getpid()) <= before
