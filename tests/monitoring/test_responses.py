"""What follows from a look: an issue, a training where it can help, or nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from treeline.monitoring.record import Record, Seen
from treeline.monitoring.responses import (
    MOST_CHARACTERS,
    Circumstances,
    Response,
    mark_of,
    response_to,
)

NOW = datetime(2030, 3, 1, 4, 53, tzinfo=UTC)
STALE = ("prepare@trees is out of date",)
OPEN = f"{mark_of('trees')}\n\nsomething\n"


def look(state: str, action: str) -> Record:
    seen = Seen(since=0.0, until=1.0)
    return Record.model_validate(
        {
            "model": "trees",
            "version": "0123456789ab",
            "state": state,
            "action": action,
            "seen": seen,
        }
    )


def respond(state: str = "alarm", action: str = "retrain", **known: Any) -> Response:
    given: dict[str, Any] = {
        "earlier": None, "report": "# trees", "stale": (), "every": "7d", "now": NOW,
    }  # fmt: skip
    return response_to(look(state, action), Circumstances(**given | known))


@pytest.mark.parametrize(
    ("seen", "earlier", "stale", "expected"),
    [
        (("quiet", "issue"), None, STALE, ("none", False)),
        (("quiet", "issue"), OPEN, STALE, ("close", False)),
        (("quiet", "retrain"), OPEN, STALE, ("close", False)),
        (("too few rows", "retrain"), None, STALE, ("none", False)),
        (("too few rows", "retrain"), OPEN, STALE, ("none", False)),
        (("alarm", "none"), None, STALE, ("none", False)),
        (("alarm", "issue"), None, STALE, ("open", False)),
        (("alarm", "issue"), OPEN, STALE, ("update", False)),
        (("alarm", "retrain"), None, STALE, ("open", True)),
        (("alarm", "retrain"), OPEN, STALE, ("update", True)),
        (("alarm", "retrain"), None, (), ("open", False)),
        (("alarm", "retrain"), OPEN, (), ("update", False)),
    ],
)
def test_what_follows_from_a_look(
    seen: tuple[str, str],
    earlier: str | None,
    stale: tuple[str, ...],
    expected: tuple[str, bool],
) -> None:
    response = respond(*seen, earlier=earlier, stale=stale)
    assert (response.change, response.train) == expected
    assert bool(response.text) == (response.change != "none")
    assert bool(response.reason) == (seen == ("alarm", "retrain"))


def test_ten_nights_in_a_row_train_as_often_as_is_declared() -> None:
    text, trainings = None, []
    for night in range(10):
        response = respond(earlier=text, stale=STALE, now=NOW + timedelta(days=night), every="4d")
        assert response.change == ("update" if night else "open")
        assert response.text.startswith(mark_of("trees"))
        text = response.text
        trainings += [night] if response.train else []
    assert trainings == [0, 4, 8]


def test_when_a_training_was_started_last_outlives_the_nights_without_an_alarm() -> None:
    started = respond(stale=STALE)
    later = respond(earlier=started.text, stale=(), now=NOW + timedelta(days=1))
    assert "the same rows" in later.reason
    again = respond(earlier=later.text, stale=STALE, now=NOW + timedelta(days=2))
    assert not again.train
    assert "2030-03-01" in again.reason


def test_a_report_that_is_too_long_for_an_issue_is_cut() -> None:
    response = respond(report="x" * (2 * MOST_CHARACTERS))
    assert len(response.text) < 65_000
    assert "the rest" in response.text


def remembered(when: str) -> str:
    """Return the text of an issue that says when a training was started last."""
    return f"{mark_of('trees')}\n<!-- trained: {when} -->\n\nThe last look alarms.\n\n# trees\n"


YESTERDAY, TOMORROW = "2030-02-28T04:53:00+00:00", "2030-03-02T04:53:00+00:00"

# What is in the open issue, what in closed ones, and whether a training may be started.
MEMORIES: dict[str, tuple[str | None, tuple[str, ...], bool]] = {
    "a training of yesterday": (remembered(YESTERDAY), (), False),
    "line ends of a browser": (remembered(YESTERDAY).replace("\n", "\r\n"), (), False),
    "another zone": (remembered("2030-02-28T12:00:00+09:00"), (), False),
    "one of long ago": (remembered("2030-02-01T04:53:00+00:00"), (), True),
    "an alarm that went and came again": (None, (OPEN, remembered(YESTERDAY)), False),
    "closed ones of long ago": (None, (remembered("2030-01-01T00:00:00+00:00"),), True),
    "the later one of both counts": (
        remembered("2030-01-01T00:00:00+00:00"), (remembered(YESTERDAY),), False,
    ),
    "a clock that was ahead": (remembered(TOMORROW), (), True),
    "a word in its place": (remembered("yesterday"), (), True),
    "a year that no clock has": (remembered("0001-01-01T00:00:00+23:59"), (), True),
    "a mark that is taken out": ("The last look alarms.", (), True),
    "what a report says": (f"{OPEN}\n<!-- trained: {YESTERDAY} -->\n", (), True),
}  # fmt: skip


@pytest.mark.parametrize("memory", MEMORIES)
def test_people_edit_issues_and_clocks_jump(memory: str) -> None:
    earlier, closed, may_train = MEMORIES[memory]
    response = respond(earlier=earlier, closed=closed, stale=STALE)
    assert response.train is may_train
    assert respond(earlier=response.text, stale=STALE, now=NOW + timedelta(days=1)).train is False


def test_an_alarm_that_comes_and_goes_trains_as_often_as_is_declared() -> None:
    closed: list[str] = []
    trainings = []
    for day in range(0, 16, 2):
        now = NOW + timedelta(days=day)
        response = respond(closed=closed, stale=STALE, now=now)
        trainings += [day] if response.train else []
        quiet = respond("quiet", earlier=response.text, now=now + timedelta(days=1))
        closed.append(quiet.text)
    assert trainings == [0, 8]


def test_what_keeps_a_model_from_being_trained_is_said() -> None:
    response = respond(stale=STALE, obstacle="its source cannot be asked: no answer.")
    assert not response.train
    assert response.reason == ("No training is started: its source cannot be asked: no answer.")
    assert respond("quiet", earlier=OPEN, obstacle="anything").change == "close"
