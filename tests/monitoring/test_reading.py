"""A log in SQLite, in PostgreSQL, behind a service → the same rows, and clear words where not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.prediction_log.database import Database, url_of
from tests.databases import opened
from tests.monitoring.worlds import (
    DAY,
    FEATURES,
    NAME,
    NIGHT,
    VERSION,
    Columns,
    answered,
    drawn,
    log_in,
    logged,
    proved,
    watched,
)
from treeline.commands.monitor import look_at
from treeline.errors import SourceError, UnknownNameError
from treeline.monitoring.logs import log_of
from treeline.monitoring.record import Ages
from treeline.monitoring.rows import Logged, codes_of, features_of, typed
from treeline.monitoring.verdicts import Watched

WEEK = NIGHT - 7 * DAY + np.arange(300) * DAY / 50


@pytest.fixture
def model(declaration: dict[str, Any]) -> Watched:
    declaration["features"] = {"Light": {"type": "number", "minimum": 0}}
    return watched(declaration, slices=[])


@pytest.fixture
def columns() -> Columns:
    return drawn(np.random.default_rng(1), 300)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_gives_what_was_logged(
    kind: str, tmp_path: Path, model: Watched, columns: Columns
) -> None:
    truth = proved(columns, np.random.default_rng(2))
    rows = logged(columns, WEEK)
    other = logged(columns, WEEK[:40], version="another")
    early = [{**row, "id": f"old-{row['id']}", "time": NIGHT - 30 * DAY} for row in rows[:50]]
    ahead = [{**row, "id": f"ahead-{row['id']}", "time": NIGHT + DAY} for row in rows[:3]]
    feedback = [
        {"id": f"old-{row['id']}", "time": NIGHT - DAY, "truth": json.dumps(str(true))}
        for row, true in zip(rows[:50], truth, strict=False)
    ]
    feedback += [{"id": rows[0]["id"], "time": NIGHT - 1, "truth": '"none of the classes"'}]
    with opened(kind, tmp_path) as made:
        database = Database(url_of(made.url, Path()))
        database.prepare()
        database.add([*rows, *other, *early, *ahead], feedback)
        database.engine.dispose()
        record = look_at(model, log_of(made.url, "NO_PASSWORD"), since=None, until=NIGHT)
    assert record.seen.versions == {VERSION: 300, "another": 40}
    assert (record.seen.rows, record.quality.labelled, record.seen.ahead) == (300, 50, 3)
    assert record.seen.look == 31
    assert record.state == "quiet"
    assert any("40 rows of the window are of other versions" in each for each in record.notes)
    [height] = [each for each in record.inputs if each.name == "Height"]
    assert height.missing == np.isnan(columns["Height"]).sum()


def test_a_database_gives_many_rows_at_a_time(
    tmp_path: Path, model: Watched, columns: Columns
) -> None:
    database, url = log_in(tmp_path)
    database.add(logged(columns, WEEK), [])
    query = model.query(None, NIGHT)
    assert [len(each.times) for each in log_of(url, "NO_PASSWORD").chunks(query)] == [300]


def test_the_first_window_of_a_version_stands_in_where_no_answers_are_known(
    tmp_path: Path, model: Watched, columns: Columns
) -> None:
    old = Watched(model.spec, model.signature, {})
    database, url = log_in(tmp_path)
    month = logged(columns, WEEK - 30 * DAY)
    database.add([*month, *logged(columns, WEEK)], [])
    record = look_at(old, log_of(url, "NO_PASSWORD"), since=None, until=NIGHT)
    assert "first window of this version" in record.answers_basis
    assert [each.psi for each in record.answers] == [0, 0]
    young = look_at(old, log_of(url, "NO_PASSWORD"), since=None, until=NIGHT - 29 * DAY)
    assert "nothing yet" in young.answers_basis
    assert young.answers == ()


def test_a_log_of_nothing_says_so(tmp_path: Path, model: Watched) -> None:
    _, url = log_in(tmp_path)
    record = look_at(model, log_of(url, "NO_PASSWORD"), since=None, until=NIGHT)
    assert (record.state, record.seen.rows) == ("too few rows", 0)


def test_what_is_no_log_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="--log: 'ftp' is not known; choose from"):
        log_of("ftp://there", "NONE")
    with pytest.raises(SourceError, match="--log: it is no URL"):
        log_of("sqlite", "NONE")
    with pytest.raises(SourceError, match="--log: sqlite"):
        log_of(f"sqlite:///{tmp_path}/absent.sqlite", "NONE").first(NAME, VERSION)
    with pytest.raises(SourceError, match="no answer"):
        log_of("http://127.0.0.1:9", "NONE").first(NAME, VERSION)


def test_values_of_another_type_are_counted_not_taken() -> None:
    texts = ['{"Light": 1, "Fenced": true}', '{"Light": "1", "Fenced": 2}', "null", "[1]", "{}"]
    table = features_of(texts, FEATURES)
    light = table["Light"].to_pylist()
    assert light[0] == 1.0
    assert np.isnan(light[1])
    assert light[2:] == [None, None, None]
    assert table["Fenced"].to_pylist() == ["true", "2", None, None, None]


def test_a_truth_is_a_class_however_it_is_spelt_as_a_number() -> None:
    texts = ["1", "1.0", '"1"', "true", None, "nonsense", "7"]
    assert codes_of(texts, (0, 1)).tolist() == [1, 1, -1, 1, -1, -1, -1]
    assert codes_of(texts, ("0", "1")).tolist() == [-1, -1, 1, -1, -1, -1, -1]


def test_answers_of_the_log_are_those_of_the_model(model: Watched, columns: Columns) -> None:
    rows = typed(_chunk(logged(columns, WEEK)), model.signature)
    expected = answered(columns)
    assert rows.answers.labels is not None and expected.labels is not None
    assert np.array_equal(rows.answers.labels, expected.labels)
    assert rows.answers.scores == pytest.approx(expected.scores, abs=1e-6)
    odd = logged(columns, WEEK)
    odd[5]["prediction"] = '"no class"'
    assert typed(_chunk(odd), model.signature).strange == 1


def _chunk(rows: list[dict[str, Any]]) -> Logged:
    none = [None] * len(rows)
    names = ("version", "features", "prediction", "probability")
    versions, features, predictions, probabilities = ([row[name] for row in rows] for name in names)
    times = np.array([row["time"] for row in rows])
    truth_times = np.full(len(rows), np.nan)
    return Logged(times, versions, features, predictions, probabilities, none, truth_times)


def test_a_clock_that_was_behind_makes_no_version_older_than_its_commit(
    tmp_path: Path, model: Watched, columns: Columns
) -> None:
    database, url = log_in(tmp_path)
    database.add([*logged(columns, WEEK), *logged(columns, np.arange(3.0))], [])
    log, ages = log_of(url, "NO_PASSWORD"), Ages(model_days=30)
    record = look_at(model, log, since=None, until=NIGHT, ages=ages)
    assert (record.seen.look, record.seen.rows) == (31, 300)
    before = look_at(model, log, since=None, until=NIGHT - 3 * DAY, ages=Ages(model_days=-3))
    assert before.seen.look == 1
