"""A clock that jumps makes the log forget nothing, and lets no correction be lost."""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.prediction_log.clock import HOLD_SECONDS, Clocks, SteadyTime
from api.prediction_log.database import Database, url_of
from api.prediction_log.shipping import LOOK_SECONDS, LogShipper
from api.prediction_log.spool import LINES, Spool
from api.prediction_log.writing import Redaction, TruthEntry, Writer, feedback_line
from tests.recorded import counting, ids_in, postgresql

DAY = 86_400.0


@dataclass
class Machine:
    """A machine whose clock can be set, unlike the time since it started."""

    wall: float = 1.9e9
    steady: float = 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


def shipping(spool: Spool, machine: Machine) -> LogShipper:
    """Return what a shipper does that has just been started."""
    return LogShipper(
        spool,
        Database(url_of(None, spool.folder.parent)),
        recent=counting(spool.folder.parent),
        retention_days=90,
        clocks=Clocks(lambda: machine.wall, lambda: machine.steady),
    )


def ship(started: LogShipper) -> None:
    while started.step():
        pass


def recorded(spool: Spool) -> list[str]:
    return ids_in(spool.folder.parent / "predictions.sqlite")


def record(spool: Spool, name: str, *, at: float) -> None:
    writer = Writer(spool, redaction=Redaction(()), most_bytes=1 << 30)
    answer = {"Event": 1.0, "id": name, "model": "m", "version": "v"}
    writer.record((at, 0.001, b"{}", json.dumps(answer).encode(), None))
    writer.flush()
    writer.rotate(now=True)


def test_what_is_too_old_is_removed_as_time_passes(spool: Spool, machine: Machine) -> None:
    record(spool, "first", at=machine.wall)
    started = shipping(spool, machine)
    for _ in range(91):
        ship(started)
        machine.passes(DAY)
    assert recorded(spool) == ["first"]
    ship(started)
    assert recorded(spool) == []


@pytest.mark.parametrize("restarted", [False, True], ids=["while it runs", "while it is down"])
def test_a_clock_that_is_ahead_removes_nothing_and_is_told(
    spool: Spool, machine: Machine, restarted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    record(spool, "a", at=machine.wall)
    started = shipping(spool, machine)
    ship(started)
    machine.wall += 100 * DAY
    started = shipping(spool, machine) if restarted else started
    machine.passes(2 * LOOK_SECONDS)
    for _ in range(3):
        ship(started)
        machine.passes(3600)
    assert recorded(spool) == ["a"]
    assert "The clock has jumped" in caplog.text
    machine.wall -= 100 * DAY
    with caplog.at_level(logging.WARNING):
        ship(started)
    assert "believed again" in caplog.text and recorded(spool) == ["a"]


def test_a_clock_that_was_wrong_before_the_first_look_is_found_by_what_is_recorded(
    spool: Spool, machine: Machine
) -> None:
    record(spool, "a", at=machine.wall)
    machine.wall += 100 * DAY
    ship(shipping(spool, machine))
    assert recorded(spool) == ["a"]


def test_a_clock_that_goes_on_for_a_day_is_believed_over_restarts_too(
    spool: Spool, machine: Machine
) -> None:
    record(spool, "a", at=machine.wall)
    ship(shipping(spool, machine))
    machine.wall += 100 * DAY
    started = shipping(spool, machine)
    for _ in range(int(HOLD_SECONDS / 3600) - 1):
        ship(started)
        machine.passes(3600)
    ship(started)
    assert recorded(spool) == ["a"]
    started = shipping(spool, machine)
    for _ in range(3):
        ship(started)
        machine.passes(3600)
    assert recorded(spool) == []


@pytest.mark.parametrize("step_days", [-100, -1, 8])
def test_a_clock_that_is_set_back_or_by_a_little_holds_nothing_up(
    spool: Spool, machine: Machine, step_days: int
) -> None:
    record(spool, "old", at=machine.wall - 200 * DAY)
    record(spool, "new", at=machine.wall)
    machine.wall += step_days * DAY
    ship(shipping(spool, machine))
    assert recorded(spool) == ["new"]


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_a_truth_of_a_clock_that_was_ahead_is_corrected_by_the_next(
    spool: Spool, tmp_path: Path, kind: str
) -> None:
    def told(database: Database) -> Any:
        writer = Writer(spool, redaction=Redaction(()), most_bytes=1 << 30)
        for at, truth in ((time.time() + 100 * DAY, "wrong"), (time.time(), "right")):
            writer.write(feedback_line(TruthEntry("", truth, id="x"), at=at), kind=LINES)
            writer.rotate(now=True)
            ship(
                LogShipper(spool, database, recent=counting(spool.folder.parent), retention_days=0)
            )
        with database.engine.connect() as connection:
            (found,) = connection.exec_driver_sql("SELECT truth FROM feedback").scalars()
        database.doubt()
        return json.loads(found)

    if kind == "SQLite":
        assert told(Database(url_of(None, tmp_path))) == "right"
        return
    with postgresql() as name:
        url = f"postgresql://postgres@127.0.0.1:5432/{name}"
        assert told(Database(url_of(url, tmp_path))) == "right"


@pytest.mark.parametrize("step", [100 * DAY, -100 * DAY])
def test_the_time_of_truths_follows_no_jump_and_never_goes_back(
    machine: Machine, step: float, caplog: pytest.LogCaptureFixture
) -> None:
    told = SteadyTime(wall=lambda: machine.wall, steady=lambda: machine.steady)
    before = told.now()
    machine.wall += step
    machine.passes(10)
    assert told.now() == before + 10
    assert "The clock has jumped" in caplog.text
    machine.wall -= step + 5  # and is set right, five seconds slow
    machine.passes(1)
    assert before + 10 <= told.now() <= before + 11


def test_the_time_of_truths_is_that_of_the_clock(machine: Machine) -> None:
    told = SteadyTime(wall=lambda: machine.wall, steady=lambda: machine.steady)
    for drift in (0.5, 3.0, 0.0):
        machine.passes(100)
        machine.wall += drift
        assert told.now() == machine.wall
