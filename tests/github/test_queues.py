"""Concurrency groups: one runs, one waits, and the older of those that wait is cancelled."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.github.queues import MOST, Cancelled, Queues
from tests.waiting import wait_until

GROUP: dict[str, Any] = {"group": "train", "cancel-in-progress": False}


@dataclass
class Visit:
    """A run in a thread, which holds its group until it is told to end."""

    queues: Queues
    concurrency: Mapping[str, Any]
    name: str
    end: threading.Event = field(default_factory=threading.Event)
    state: str = "new"
    was_cancelled: bool = False

    def start(self) -> "Visit":
        self.thread = threading.Thread(target=self._go)
        self.thread.start()
        return self

    def _go(self) -> None:
        try:
            with self.queues.turn(self.concurrency, self.name) as ticket:
                self.state = "running"
                self.end.wait(10)
                self.was_cancelled = ticket.cancelled
        except Cancelled:
            self.state = "cancelled"

    def reach(self, state: str) -> None:
        """Wait until it is so far."""
        what = f"{self.name} is {state}"
        wait_until(lambda: self.state == state, seconds=10, what=what)

    def arrive(self) -> None:
        """Wait until it waits in the group, or is told that it may not."""
        group = self.concurrency["group"]
        wait_until(
            lambda: self.name in self.queues.waiting(group) or self.state == "cancelled",
            seconds=10,
            what=f"{self.name} has arrived",
        )

    def finish(self) -> None:
        self.end.set()
        self.thread.join(10)


def visits(queues: Queues, concurrency: Mapping[str, Any], count: int) -> list[Visit]:
    """Start a run that holds the group, and others that arrive one after the other."""
    started = [Visit(queues, concurrency, "0").start()]
    started[0].reach("running")
    for number in range(1, count):
        visit = Visit(queues, concurrency, str(number)).start()
        visit.arrive()
        started.append(visit)
    return started


def test_of_those_that_wait_the_older_one_is_cancelled() -> None:
    first, second, third = visits(Queues(), GROUP, 3)
    second.reach("cancelled")
    assert (first.state, third.state) == ("running", "new")
    first.finish()
    third.reach("running")
    third.finish()


def test_with_a_queue_all_wait_in_their_order() -> None:
    queues = Queues()
    first, second, third = visits(queues, {**GROUP, "queue": "max"}, 3)
    assert queues.waiting("TRAIN") == ["1", "2"]
    first.finish()
    second.reach("running")
    assert third.state == "new"
    second.finish()
    third.reach("running")
    third.finish()


def test_a_newer_one_may_cancel_the_one_that_runs() -> None:
    first, second = visits(Queues(), {**GROUP, "cancel-in-progress": True}, 2)
    first.finish()
    assert first.was_cancelled
    second.reach("running")
    second.finish()


def test_a_full_queue_takes_no_more() -> None:
    queues = Queues()
    all_of_them = visits(queues, {**GROUP, "queue": "max"}, MOST + 2)
    assert [each.name for each in all_of_them if each.state == "cancelled"] == [str(MOST + 1)]
    for each in all_of_them:
        each.finish()


@pytest.mark.parametrize("concurrency", [None, {}, {"group": ""}])
def test_without_a_group_nothing_waits(concurrency: Any) -> None:
    queues = Queues()
    with queues.turn(concurrency, "a"), queues.turn(concurrency, "b"):
        pass
