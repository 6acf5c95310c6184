"""A follower ends as a whole when no worker is left, whatever a part of it is at."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread

from api.models.following import FollowedFolder, beside_each_other, follow
from tests.waiting import wait_until

SECONDS = 30


def test_a_part_that_has_ended_ends_those_that_new_workers_would_find_at_work(
    tmp_path: Path,
) -> None:
    folder = FollowedFolder(tmp_path / "followed")
    former = folder.enter()
    slow, is_asking, answer = Event(), Event(), Event()

    def ask_slowly() -> None:
        is_asking.set()
        answer.wait(SECONDS)
        slow.set()

    def part(poll: Callable[[], None]) -> Callable[[], None]:
        return partial(follow, folder, poll, pause_seconds=0, logger=logging.getLogger("test"))

    parts = {"slow": part(ask_slowly), "quick": part(lambda: None)}
    follower = Thread(target=beside_each_other, args=(parts,))
    follower.start()
    assert is_asking.wait(SECONDS)
    former.release()
    wait_until(lambda: not folder.is_read(), seconds=SECONDS, what="nobody reads the folder")
    follower.join(SECONDS)
    assert not follower.is_alive()
    new = folder.enter()
    assert not slow.is_set(), "it does not wait for the slow one"
    answer.set()
    new.release()
