"""A test of later rows: which they are, which folds only look back, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROWS, Project
from treeline.config.blocks import Moment
from treeline.errors import DataError
from treeline.evaluation.units import Units
from treeline.preparation import in_parts, whole
from treeline.preparation.splitting import forward_folds, later, stretches
from treeline.preparation.whole import Prepared, prepare
from treeline.stages.collect import collect
from treeline.trainers.contest import training_set

DAYS = [f"2026-{1 + row % 12:02d}-{1 + row // 12:02d}" for row in range(120)]


def dated(project: Project, after: str) -> Project:
    """Give each row a day, and let those after a moment be the test."""
    head, *lines = ROWS.split("\n")
    days = [head + ",Day", *(f"{line},{day}" for line, day in zip(lines, DAYS, strict=True))]
    text = "\n".join(days) + "\n"
    text = text.replace(",NA,", ",7,") if "EMF" in after else text
    (project.root / "dataset/sources/file/seedlings.csv").write_text(text)
    project.replace("Harvest: integer}", "Harvest: integer, Day: text}")
    project.replace("test: 0.25, group: Plot", f"after: {after}")
    return project


def prepared(project: Project) -> Prepared:
    collect(project.spec, project.paths)
    return prepare(pd.read_parquet(project.paths.raw), project.spec)


@pytest.mark.parametrize(
    ("values", "moment", "expected"),
    [
        ([1, 2, 3], 2, [False, False, True]),
        ([1.5, -2.0, 2.25], 2.0, [False, False, True]),
        (["2026-01-31", "2026-02-01"], "2026-01-31", [False, True]),
        (["2026-01-31 00:00:01", "2026-01-30T23:59:59"], "2026-01-31", [True, False]),
        (["2026-01-31T00:30:00+01:00", "2026-01-31T00:30:00Z"], "2026-01-31", [False, True]),
        (["2026-01-01T00:00:00.000002", "2026-01-01"], "2026-01-01T00:00:00.000001", [True, False]),
        (["0999-12-31", "2600-01-01"], "2026-01-01", [False, True]),
    ],
    ids=["whole", "numbers", "days", "times", "zones", "microseconds", "far"],
)
def test_rows_beyond_the_moment_are_later(
    values: list[Any], moment: Moment, expected: list[bool]
) -> None:
    assert later(pd.DataFrame({"t": values}), {"t": moment}).tolist() == expected


@pytest.mark.parametrize(
    ("values", "moment", "words"),
    [
        ([1.0, None], 0, ["split.after.t: a missing value is no number, so that 1 rows"]),
        (["2026-01-31", None], "2026-01-01", ["a missing value is no time like 2026-01-31"]),
        (["2026-01-31", "31.1.2026"], "2026-01-01", ["'31.1.2026' is no time", "`source.where`"]),
    ],
)
def test_a_row_without_a_moment_is_refused(
    values: list[Any], moment: Moment, words: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        later(pd.DataFrame({"t": values}), {"t": moment})
    assert all(each in str(error.value) for each in words)


@pytest.mark.parametrize("after", ["{Plot: 8}", "{EMF: 20.5}", "{Day: '2026-09-05'}"])
def test_the_test_rows_are_all_after_the_training_rows(project: Project, after: str) -> None:
    found = prepared(dated(project, after))
    name = project.spec.split.after and next(iter(project.spec.split.after))
    assert found.train[name].max() < found.test[name].min()
    assert found.summary["split"]["rule"] == "after"
    assert found.summary["split"]["share"] == round(len(found.test) / 108, 4)


def test_rows_that_are_added_move_no_other(project: Project) -> None:
    dated(project, "{Day: '2026-09-05'}")
    first = prepared(project)
    raw = pd.read_parquet(project.paths.raw)
    for some in (raw.iloc[:60], raw.iloc[::-1], raw.iloc[30:]):
        again = prepare(some, project.spec)
        assert set(again.test["Day"]) <= set(first.test["Day"])
        assert set(again.train["Day"]) <= set(first.train["Day"])


@pytest.mark.parametrize("part_rows", [10, 1000])
@pytest.mark.parametrize("after", ["{Plot: 8}", "{EMF: 20.5}", "{Day: '2026-09-05'}"])
def test_files_and_summary_are_the_same_in_parts(
    project: Project, part_rows: int, after: str
) -> None:
    dated(project, after)
    here = project.paths
    collect(project.spec, here)
    there = replace(here, root=Path("there"))
    there.dataset.mkdir(parents=True)
    there.raw.write_bytes(here.raw.read_bytes())
    expected = whole.prepare_files(project.spec, here)
    assert in_parts.prepare_parts(project.spec, there, part_rows=part_rows) == expected
    assert here.train.read_bytes() == there.train.read_bytes()
    assert here.test.read_bytes() == there.test.read_bytes()


@pytest.mark.parametrize(
    ("column", "after", "words"),
    [
        ("Plot", "{Plot: 8}", "column 'Plot', row 5: is missing; give a whole number, for it "),
        ("Day", "{Day: '2026-09-05'}", "column 'Day', row 5: is missing; give a text, for it "),
        ("EMF", "{EMF: 20}", "column 'EMF', row 5: "),
    ],
)
def test_a_missing_value_is_refused_with_the_way_out(
    project: Project, column: str, after: str, words: str
) -> None:
    dated(project, after)
    collect(project.spec, project.paths)
    raw = pd.read_parquet(project.paths.raw)
    raw.loc[4, column] = None
    with pytest.raises(DataError) as error:
        prepare(raw, project.spec)
    assert words in str(error.value)
    assert "for it decides the side of a row" in str(error.value)
    assert "may be left out by `source.where`" in str(error.value)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("{Plot: 11}", "split.after.Plot: none of the 108 rows are after 11; they go from 0 to 11"),
        ("{Plot: -1}", "split.after.Plot: all of the 108 rows are after -1; they go from 0 to 11"),
        (
            "{Light: 0.7}",
            "the test rows hold no row of class 1.0; collect more rows, or declare an",
        ),
        ("{Day: '2027-01-01'}", "they go from 2026-01-01 to 2026-12-09: declare a value between"),
    ],
)
def test_a_side_without_rows_or_a_class_is_refused(
    project: Project, after: str, words: str
) -> None:
    with pytest.raises(DataError) as error:
        prepared(dated(project, after))
    assert words in str(error.value)


@given(
    times=st.lists(st.integers(0, 30), min_size=1, max_size=80),
    k=st.integers(2, 6),
)
def test_no_fold_looks_forward(times: list[int], k: int) -> None:
    known = np.array(times)
    try:
        drawn = forward_folds(None, known, k=k)
    except ValueError as error:
        assert "different moments make" in str(error)
        assert stretches(known, k + 1).max() < k
        return
    assert len(drawn) == k
    assert all(known[train].max() < known[test].min() for train, test in drawn)
    tested = np.concatenate([test for _, test in drawn])
    assert len(tested) == len(np.unique(tested))


def test_a_stretch_without_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="a class is missing in one of the 4 stretches of time"):
        forward_folds(np.arange(40) >= 20, np.arange(40), k=3)


def test_folds_of_the_search_only_look_back(project: Project) -> None:
    found = prepared(dated(project, "{Day: '2026-09-05'}"))
    rows = training_set(found.train, project.spec, [0, 1])
    days = found.train["Day"].to_numpy()
    assert len(rows.folds) == 3
    assert all(days[train].max() < days[test].min() for train, test in rows.folds)


def test_intervals_take_stretches_of_time(project: Project) -> None:
    found = prepared(dated(project, "{Day: '2026-06-05'}"))
    units = Units.of(found.test, project.spec.split)
    assert units.words == "20 blocks of Day"
    order = np.argsort(found.test["Day"].to_numpy())
    assert (np.diff(units.codes[order]) >= 0).all()
    years = pd.DataFrame({"Plot": np.repeat([2024, 2025, 2026], 50)})
    project.replace("{Day: '2026-06-05'}", "{Plot: 2023}")
    assert Units.of(years, project.spec.split).count == 3
