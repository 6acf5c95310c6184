"""A window of a log beside what was promised → what alarms, and what does not."""

from typing import Any

import numpy as np
import pytest

from tests.monitoring.worlds import (
    DAY,
    NIGHT,
    Change,
    Columns,
    drawn,
    look,
    nothing,
    proved,
    rows_of,
    watched,
)
from treeline.monitoring import alpha_spending
from treeline.monitoring.record import Record

RNG = np.random.default_rng(17)


@pytest.fixture
def block(declaration: dict[str, Any]) -> dict[str, Any]:
    """Return a declaration of the world's features, as the block of a model."""
    declaration["features"] = {
        "Light": {"type": "number", "minimum": 0},
        "Species": {"type": "category", "categories": ["Acer", "Prunus", "Quercus", "Tilia"]},
    }
    return declaration


def after(block: dict[str, Any], change: Change, rows: int = 500, days: float = 0) -> Record:
    model = watched(block)
    return look(model, rows_of(drawn(np.random.default_rng(3), rows, change)), days=days)


def raised(record: Record) -> list[tuple[str, str]]:
    return [(each.on, each.sort) for each in record.alarms]


def test_a_window_without_drift_is_quiet(block: dict[str, Any]) -> None:
    record = after(block, lambda columns, _: columns)
    assert record.state == "quiet"
    assert record.alarms == ()
    assert [each.name for each in record.inputs] == list(drawn(RNG, 1))
    assert [each.name for each in record.answers] == ["fate", "probability"]


def test_a_shift_of_half_a_deviation_alarms(block: dict[str, Any]) -> None:
    def moved(columns: Columns, _: np.random.Generator) -> Columns:
        return columns | {"Trait2": columns["Trait2"] + 0.5 * 3}

    record = after(block, moved, days=365)
    assert ("Trait2", "shift") in raised(record)
    assert {on for on, _ in raised(record)} == {"Trait2"}
    [column] = [each for each in record.inputs if each.name == "Trait2"]
    assert column.moved == pytest.approx(0.5, abs=0.15)
    assert column.psi == pytest.approx(0.22, abs=0.1)


AT_ONCE: dict[str, tuple[Change, tuple[str, str]]] = {
    "a category that nobody declared": (
        lambda columns, _: columns | {"Species": np.where(
            np.arange(len(columns["Species"])) == 7, "Fagus", columns["Species"])},
        ("Species", "unknown category"),
    ),
    "a declared category that no row had": (
        lambda columns, rng: columns | {"Species": np.where(
            rng.random(len(columns["Species"])) < 0.05, "Tilia", columns["Species"])},
        ("Species", "unseen category"),
    ),
    "a thousand times": (
        lambda columns, _: columns | {"Light": 1000 * columns["Light"]},
        ("Light", "other unit"),
    ),
    "a thousandth": (
        lambda columns, _: columns | {"Light": 0.001 * columns["Light"]},
        ("Light", "other unit"),
    ),
    "a thousandth around zero": (
        lambda columns, _: columns | {"Trait0": 0.001 * columns["Trait0"]},
        ("Trait0", "other unit"),
    ),
    "one number everywhere": (
        lambda columns, _: columns | {"Trait4": np.full(len(columns["Trait4"]), 4.2)},
        ("Trait4", "constant"),
    ),
    "one word everywhere": (
        lambda columns, _: columns | {"Species": np.full(len(columns["Species"]), "Acer", object)},
        ("Species", "constant"),
    ),
    "missing everywhere": (
        lambda columns, _: columns | {"Height": np.full(len(columns["Height"]), np.nan)},
        ("Height", "all missing"),
    ),
    "missing twice as often": (
        lambda columns, rng: columns | {"Height": np.where(
            rng.random(len(columns["Height"])) < 1 / 9, np.nan, columns["Height"])},
        ("Height", "missing"),
    ),
    "infinite here and there": (
        lambda columns, _: columns | {"Trait1": np.where(
            np.arange(len(columns["Trait1"])) < 3, np.inf, columns["Trait1"])},
        ("Trait1", "not of its type"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", AT_ONCE)
def test_what_is_broken_alarms_at_once(block: dict[str, Any], what: str) -> None:
    change, expected = AT_ONCE[what]
    assert expected in raised(after(block, change, rows=700))


def test_the_words_name_the_unit(block: dict[str, Any]) -> None:
    record = after(block, lambda columns, _: columns | {"Light": 1000 * columns["Light"]})
    [alarm] = [each for each in record.alarms if each.sort == "other unit"]
    assert "1,000 times what it was" in alarm.text
    assert alarm.p is None


def test_a_required_feature_that_is_missing_everywhere_is_redacted(block: dict[str, Any]) -> None:
    record = after(block, lambda columns, _: columns | {"Trait3": np.full(500, np.nan)})
    assert record.state == "quiet"
    [column] = [each for each in record.inputs if each.name == "Trait3"]
    assert "redacted" in column.note


def test_few_rows_alarm_of_what_is_broken_only(block: dict[str, Any]) -> None:
    def moved(columns: Columns, _: np.random.Generator) -> Columns:
        return columns | {"Trait2": columns["Trait2"] + 9}

    record = after(block, moved, rows=60)
    assert record.state == "too few rows"
    assert "60 rows" in record.notes[0]
    broken = after(block, lambda columns, _: columns | {"Light": 1000 * columns["Light"]}, rows=60)
    assert broken.state == "alarm"


def test_only_what_is_declared_to_alarm_does(block: dict[str, Any]) -> None:
    model = watched(block, alarms=["quality"])
    rows = drawn(RNG, 500)
    record = look(model, rows_of(rows | {"Light": 1000 * rows["Light"]}))
    assert (record.state, record.alarms) == ("quiet", ())


def test_labels_that_turn_are_seen_in_quality_and_calibration_not_in_inputs(
    block: dict[str, Any],
) -> None:
    model, rng = watched(block), np.random.default_rng(5)
    rows = drawn(rng, 800)
    record = look(model, rows_of(rows, truth=proved(rows, rng, turned=0.4)), days=30)
    kinds = {each.alarm for each in record.alarms}
    assert kinds == {"quality", "calibration"}
    assert record.quality.labelled == 800
    estimate, now = record.quality.estimated["roc_auc"], record.quality.metrics["roc_auc"]
    assert now.high is not None
    assert estimate > now.high  # which is why it is no measurement


def test_truths_that_keep_their_word_are_quiet(block: dict[str, Any]) -> None:
    model, rng = watched(block), np.random.default_rng(6)
    rows = drawn(rng, 800)
    record = look(model, rows_of(rows, truth=proved(rows, rng)), days=0)
    assert record.state == "quiet"
    assert {*record.quality.metrics} == {*record.quality.promised} == {*record.quality.estimated}
    for name, estimate in record.quality.estimated.items():
        assert estimate == pytest.approx(record.quality.metrics[name].value, abs=0.06)


def test_late_truths_of_old_predictions_count_by_time_of_prediction(block: dict[str, Any]) -> None:
    model, rng = watched(block), np.random.default_rng(7)
    old, new = drawn(rng, 300), drawn(rng, 400)
    month = NIGHT - 30 * DAY + np.arange(300) * DAY / 100
    late = rows_of(old, times=month, truth=proved(old, rng))
    long_ago = month + 1
    early = rows_of(old, times=month, truth=proved(old, rng), truth_times=long_ago)
    record = look(model, late, early, rows_of(new), days=60)
    assert (record.seen.rows, record.quality.labelled) == (400, 300)
    assert [each.labelled for each in record.quality.cohorts] == [100, 100, 100]
    assert record.quality.cohorts[0].name == "2024-09-04"


def test_truths_of_some_rows_only_are_said_to_be_so(block: dict[str, Any]) -> None:
    model, rng = watched(block), np.random.default_rng(8)
    rows = drawn(rng, 1000)
    logged = rows_of(rows)
    assert logged.answers.scores is not None
    followed = logged.answers.scores[:, 1] > 0.5  # nobody looks at the others again
    record = look(model, rows_of(rows, truth=np.where(followed, proved(rows, rng), -1)))
    assert record.quality.bias is not None
    assert record.quality.bias.matters
    by_chance = rng.random(1000) < 0.5
    fair = look(model, rows_of(rows, truth=np.where(by_chance, proved(rows, rng), -1)))
    assert fair.quality.bias is not None
    assert not fair.quality.bias.matters


def test_slices_are_judged_by_themselves(block: dict[str, Any]) -> None:
    model, rng = watched(block, slices=["Species"]), np.random.default_rng(9)
    rows = drawn(rng, 900)
    record = look(model, rows_of(rows, truth=proved(rows, rng)))
    assert [each.name for each in record.quality.slices] == [
        "Species: Acer", "Species: Prunus", "Species: Quercus",
    ]  # fmt: skip
    assert sum(each.labelled for each in record.quality.slices) == 900


def test_days_without_a_prediction_are_named(block: dict[str, Any]) -> None:
    rows = drawn(RNG, 400)
    times = NIGHT - np.where(np.arange(400) < 200, 6.5, 0.5) * DAY
    record = look(watched(block), rows_of(rows, times=times), days=7)
    assert len(record.seen.days_without) == 5


def test_each_look_may_alarm_by_chance_more_seldom_and_all_of_them_as_declared() -> None:
    chances = [alpha_spending.look(0, day * DAY, false_alarms=0.1).alpha for day in range(3650)]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(0.1)
    assert alpha_spending.look(9 * DAY, 0, false_alarms=0.1).number == 1  # a clock that was ahead


def doubled(columns: Columns, rng: np.random.Generator) -> Columns:
    struck = rng.random(len(columns["Height"])) < 1 / 9
    return columns | {"Height": np.where(struck, np.nan, columns["Height"])}


# What has changed, with how many rows, on what it must alarm; how many of forty windows do so.
RULES: dict[str, tuple[Change, int, str, int, int]] = {
    "nothing, of few rows": (nothing, 200, "", 0, 2),
    "nothing, of many": (nothing, 1000, "", 0, 2),
    "half a deviation": (
        lambda columns, _: columns | {"Trait2": columns["Trait2"] + 1.5}, 500, "Trait2", 38, 40,
    ),
    "missing twice as often": (doubled, 500, "Height", 38, 40),
}  # fmt: skip


@pytest.mark.parametrize("what", RULES)
def test_what_has_changed_is_noticed_and_what_has_not_is_not(
    block: dict[str, Any], what: str
) -> None:
    change, count, on, least, most = RULES[what]
    models = [watched(block, seed=seed) for seed in range(3)]
    noticed = 0
    for number in range(40):
        rng = np.random.default_rng([count, number])
        columns = drawn(rng, count, change)
        truth = np.where(rng.random(count) < 0.5, proved(columns, rng), -1)
        record = look(models[number % 3], rows_of(columns, truth=truth))
        noticed += any(on in ("", each.on) for each in record.alarms)
    assert least <= noticed <= most
