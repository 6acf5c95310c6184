"""A process beside the workers may outlive the one that started it: it is not forgotten."""

import gc
from pathlib import Path

import pytest

from api.background import LEFT, Keeper, leave
from tests.waiting import wait_until

WAITS = """
import pathlib, time
pathlib.Path("begun").touch()
while not pathlib.Path("end").exists():
    time.sleep(0.01)
"""


def test_a_process_that_is_left_goes_on_and_is_waited_for_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.chdir(tmp_path)
    keeper = Keeper("waits", name="It", environment={}, runs=lambda: False)
    keeper.look()
    wait_until((tmp_path / "begun").exists, seconds=60, what="it begins")
    keeper.end()
    keeper.look()  # which starts no other one
    del keeper
    gc.collect()  # a process that nobody waits for is an error of the test
    left = LEFT[-1]
    assert left.returncode is None
    (tmp_path / "end").touch()
    wait_until(lambda: left.poll() is not None, seconds=60, what="it ends")
    leave(left)
    assert left not in LEFT and left.returncode == 0
