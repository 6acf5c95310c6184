"""What a follower and the workers share: a folder, and who of them is alive.

A follower is a process of its own, one for each state folder, that asks a server and fetches what
it names: no worker imports the client of that server, and one that is slow or away keeps no request
waiting. Workers start it, and it ends by itself when they are gone.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from api.background import Keeper, Lock, again, become_the_one, beside, is_locked, lower_priority
from api.sandbox.limits import hide
from api.settings import Settings
from treeline.files import write_text
from treeline.registry import resolve

KEEP_SECONDS = 1.0
TICK_SECONDS = 0.1
TELL_SECONDS = 60.0  # between two lines of the log which say that a server is away
NICENESS = 5  # requests come first; but a new version must not wait for a quiet hour
LOGS = {"logs": "api.telemetry.logs:configure"}


class FollowedFolder:
    """A folder that a follower fills and workers read.

    <folder>/alive, follower.lock    locked by the workers; by the follower
    <folder>/asked, away             when the server last answered; why it does not
    """

    def __init__(self, folder: Path, *, beside: Path | None = None) -> None:
        """Name the folder, which the first worker makes.

        `beside` is another one whose follower fills this one too; the locks are there.
        """
        self.folder = folder
        locks = beside or folder
        self._answered_at = folder / "asked"
        self._away = folder / "away"
        self._alive = locks / "alive"
        self._follower = locks / "follower.lock"

    def enter(self) -> Lock:
        """Make the folder, and hold what tells the follower that somebody reads it."""
        for folder in (self.folder, self._alive.parent):
            folder.mkdir(parents=True, exist_ok=True)
        return Lock.shared(self._alive)

    def is_read(self) -> bool:
        """Tell whether any worker reads the folder."""
        return is_locked(self._alive)

    def has_follower(self) -> bool:
        """Tell whether a follower is at work on this folder."""
        return is_locked(self._follower)

    def follower_lock(self) -> Lock | None:
        """Become the one follower, if there is none."""
        return become_the_one(self._follower)

    def answered(self) -> None:
        """Note that the server has answered."""
        self._answered_at.touch()
        self._away.unlink(missing_ok=True)

    def silent(self, reason: str) -> None:
        """Note why the server cannot be asked."""
        write_text(self._away, reason + "\n")

    def away(self) -> str:
        """Return why the server cannot be asked; empty where it can."""
        with suppress(OSError):
            return self._away.read_text(encoding="utf-8").strip()
        return ""

    def answered_at(self) -> float | None:
        """Return when the server last answered, in seconds since 1970; None: never."""
        with suppress(OSError):
            return self._answered_at.stat().st_mtime
        return None


class Away:
    """Says why a server cannot be asked: to the workers each time, in the log once in a while."""

    def __init__(self, folder: FollowedFolder, words: str, *, logger: logging.Logger) -> None:
        """Speak for the follower of a folder; `words` say what comes of it, before the reason."""
        self._folder, self._words, self._logger = folder, words, logger
        self._logged_at = -TELL_SECONDS

    def say(self, reason: str) -> None:
        """Note the reason; raises OSError where the folder is gone."""
        self._folder.silent(reason)
        if time.monotonic() - self._logged_at > TELL_SECONDS:
            self._logged_at = time.monotonic()
            self._logger.warning("%s: %s", self._words, reason)


@asynccontextmanager
async def followed(folder: FollowedFolder, keeper: Keeper) -> AsyncIterator[None]:
    """See to it that somebody fills a folder, as long as a worker reads it."""
    alive = await asyncio.to_thread(folder.enter)
    try:
        async with beside(again(keeper.look, seconds=KEEP_SECONDS)):
            yield
    finally:
        alive.release()
        if folder.is_read():
            keeper.leave()
        else:
            # It has nothing to lose: what it was about to fetch, it fetches again.
            await asyncio.to_thread(keeper.end, kill=True)


@dataclass(frozen=True)
class Begun:
    """A process that is the one follower of a folder: what it has looked up, and its settings."""

    lock: Lock
    settings: Settings
    needed: Mapping[str, Any]


def begin(
    folder: FollowedFolder, needed: Mapping[str, str], *, place: str, extra: str | None = None
) -> Begun | None:
    """Become the one follower of a folder; None where there is one.

    What is `needed`, import paths by name, is imported once it is clear that this process is the
    one: it takes a while. `place` and `extra` are for the message where it is not installed.
    """
    lock = folder.follower_lock()
    if lock is None:
        return None
    lower_priority(NICENESS)
    hide()  # the environment holds passwords
    table = {**LOGS, **needed}
    resolved = {name: resolve(table, name, place=place, extra=extra) for name in table}
    settings = Settings()
    resolved["logs"](settings)
    return Begun(lock, settings, resolved)


def nothing() -> None:
    """Do nothing between two looks at the server."""


def follow(
    folder: FollowedFolder,
    poll: Callable[[], None],
    *,
    pause_seconds: float,
    between: Callable[[], None] = nothing,
    logger: logging.Logger,
) -> None:
    """Ask again and again, and do what is to be done in between, until no worker is left."""
    due = 0.0
    while folder.is_read():
        try:
            if time.monotonic() >= due:
                poll()
                due = time.monotonic() + pause_seconds
            between()
        except Exception as error:  # of the disk, most likely: it may pass
            if not folder.folder.is_dir():
                return  # somebody removed the state folder, and with it all there was to follow
            with suppress(OSError):
                folder.silent(f"{type(error).__name__}: {error}")
            logger.exception("%s could not be brought up to date", folder.folder)
            due = time.monotonic() + pause_seconds
        time.sleep(TICK_SECONDS)


def beside_each_other(follows: Mapping[str, Callable[[], None]]) -> None:
    """Run each in a thread of its own, by its name, until the first has ended.

    The process is to end then, and all others with it: of a follower that is at work for new
    workers, and of which a part has ended with the former ones, nobody would start that part again.
    """
    ended = Event()

    def run(part: Callable[[], None]) -> None:
        try:
            part()
        finally:
            ended.set()

    for name, part in follows.items():
        Thread(target=run, args=(part,), name=name, daemon=True).start()
    ended.wait()
