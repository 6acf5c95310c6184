"""A program beside Python: kept running while someone needs it, and no longer."""

import os
import signal
from pathlib import Path

import pytest

from tests.h2o_models import descendants
from tests.waiting import wait_until
from treeline.engines.supervision import SupervisedProgram
from treeline.errors import EngineError

ANSWER = "echo here:$$ > address; echo started; exec sleep 600"


def test_a_program_is_kept_until_it_is_stopped() -> None:
    kept = SupervisedProgram("Sleeper")
    kept.start(["sh", "-c", ANSWER], restarts=0)
    assert kept.address(seconds=20).startswith("here:")
    kept.stop()
    assert not kept.folder.exists()
    with pytest.raises(EngineError, match="Sleeper does not run: it was stopped"):
        kept.address(seconds=20)


def test_a_program_that_dies_is_started_again_elsewhere() -> None:
    kept = SupervisedProgram("Sleeper")
    kept.start(["sh", "-c", ANSWER], restarts=1)
    first = kept.address(seconds=20)
    os.kill(int(first.partition(":")[2]), signal.SIGKILL)
    try:
        wait_until(lambda: kept.address(seconds=20) != first, seconds=20, what="another is started")
    finally:
        kept.stop()


def test_one_that_always_dies_is_given_up_with_its_last_words() -> None:
    kept = SupervisedProgram("Failing")
    kept.start(["sh", "-c", "echo no memory >&2; exit 3"], restarts=2)
    with pytest.raises(EngineError, match="Failing does not run: it ended with code 3: no memory"):
        kept.address(seconds=20)
    kept.stop()
    assert not kept.folder.exists()


def test_one_that_says_nothing_is_not_waited_for_longer_than_said() -> None:
    kept = SupervisedProgram("Silent")
    kept.start(["sh", "-c", "echo thinking; exec sleep 600"], restarts=0)
    try:
        wait_until((kept.folder / "log").is_file, seconds=20, what="it is started")
        with pytest.raises(EngineError, match="Silent did not answer within 1 seconds"):
            kept.address(seconds=1)
    finally:
        kept.stop()


def test_a_program_ends_when_its_keeper_is_killed() -> None:
    kept = SupervisedProgram("Sleeper")
    kept.start(["sh", "-c", ANSWER], restarts=0)
    program = int(kept.address(seconds=20).partition(":")[2])
    (keeper,) = (pid for pid in descendants(os.getpid()) if program in descendants(pid))
    os.kill(keeper, signal.SIGKILL)
    try:
        wait_until(lambda: not Path(f"/proc/{program}").exists(), seconds=20, what="it has ended")
    finally:
        kept.stop()
