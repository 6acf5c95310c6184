"""The watcher looks at each source in its own time, and one that fails holds up no other one."""

import asyncio
import logging
import time
from dataclasses import dataclass

import pytest

from api.models.watcher import Watcher


@dataclass
class Shelf:
    """A source in memory, which counts how often it is looked at."""

    name: str
    pause_seconds: float = 0.01
    broken: bool = False
    look_seconds: float = 0
    looks: int = 0
    ended: int = 0

    def __str__(self) -> str:
        return self.name

    def due(self) -> bool:
        return True

    def current(self) -> bool:
        return True

    def holds(self, name: str) -> bool:
        return True

    def look_at(self, name: str) -> None:
        self.look()

    def look(self) -> None:
        self.looks += 1
        time.sleep(self.look_seconds)
        if self.broken:
            raise OSError("no such shelf")
        self.ended += 1


async def looked(watcher: Watcher, shelf: Shelf, times: int) -> None:
    async with asyncio.timeout(30), watcher.running():
        while shelf.looks < times:
            await asyncio.sleep(0.01)


def test_a_source_that_fails_is_logged_once_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, whole = Shelf("the broken shelf", broken=True), Shelf("the whole shelf")
    with caplog.at_level(logging.ERROR):
        asyncio.run(looked(Watcher(broken, whole), whole, times=5))
    assert broken.looks > 1
    assert [each.getMessage() for each in caplog.records] == [
        "the broken shelf could not be looked through"
    ]


def test_a_source_without_a_pause_is_not_watched() -> None:
    still, watched = Shelf("still", pause_seconds=0), Shelf("watched")
    asyncio.run(looked(Watcher(watched, still), watched, times=3))
    assert still.looks == 0


def test_a_look_that_has_begun_ends_before_the_watcher_does() -> None:
    shelf = Shelf("a slow shelf", look_seconds=0.2)

    async def story() -> None:
        await looked(Watcher(shelf, Shelf("another", pause_seconds=0)), shelf, times=3)
        assert shelf.ended == shelf.looks

    asyncio.run(story())
