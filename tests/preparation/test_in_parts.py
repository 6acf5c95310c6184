"""Rows are prepared in parts with the files and the summary that all at once would give."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Project
from treeline.config import Layout
from treeline.errors import DataError
from treeline.preparation import in_parts, whole
from treeline.stages.collect import collect


def collected(project: Project) -> Layout:
    """Return the paths of rows some of which have no target or repeat another."""
    collect(project.spec, project.paths)
    raw = pd.read_parquet(project.paths.raw)
    raw = pd.concat([raw, raw.iloc[:7]], ignore_index=True).convert_dtypes()
    raw.loc[[3, 50], "Event"] = pd.NA
    raw.to_parquet(project.paths.raw)
    return project.paths


@pytest.mark.parametrize("part_rows", [1, 10, 64, 1000])
@pytest.mark.parametrize("split", ["test: 0.25, group: Plot", "test: 0.3", "rule: drawn"])
def test_the_files_and_the_summary_are_the_same(
    project: Project, part_rows: int, split: str
) -> None:
    project.replace("test: 0.25, group: Plot", split)
    here = collected(project)
    there = replace(here, root=Path("there"))
    there.dataset.mkdir(parents=True)
    there.raw.write_bytes(here.raw.read_bytes())
    expected = whole.prepare_files(project.spec, here)
    assert in_parts.prepare_parts(project.spec, there, part_rows=part_rows) == expected
    assert expected["duplicates"] and expected["rows"]["without_target"] == 2
    assert expected["split"]["units"] == {"group": 12, "values": 100}[expected["split"]["by"]]
    assert here.train.read_bytes() == there.train.read_bytes()
    assert here.test.read_bytes() == there.test.read_bytes()
    names = {path.name for path in there.dataset.iterdir()}
    assert names == {"raw.parquet", "train.parquet", "test.parquet"}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "2", "3"], [1, 2, 3]),
        (["1", "2", "a"], ["1", "2", "a"]),
        (["01", "2", "3"], ["01", "2", "3"]),
        (["true", "TRUE", "false"], [False, True]),
        (["true", "false", "1"], ["1", "false", "true"]),
    ],
    ids=["numbers", "numbers and names", "codes", "truths", "truths and others"],
)
def test_classes_are_those_of_all_parts(
    project: Project, labels: list[str], classes: list[Any]
) -> None:
    """Each part has one label, but for rows that `where` leaves out, which have another one."""
    document = project.document()
    document["models"]["seedlings"]["target"] = {"name": "Event", "task": "multiclass"}
    document["models"]["seedlings"]["champion"] = {"metric": "accuracy"}
    document["models"]["seedlings"]["gate"] = {}
    project.write(document)
    here = project.paths
    collect(project.spec, here)
    raw = pd.read_parquet(here.raw)
    raw["Event"] = [labels[row // 40] for row in range(120)]
    raw.loc[raw["Harvest"] == "1", "Event"] = "left out"
    raw.to_parquet(here.raw)
    there = replace(here, root=Path("there"))
    there.dataset.mkdir(parents=True)
    there.raw.write_bytes(here.raw.read_bytes())
    expected = whole.prepare_files(project.spec, here)
    assert expected["target"]["classes"] == classes
    assert in_parts.prepare_parts(project.spec, there, part_rows=40) == expected
    assert here.train.read_bytes() == there.train.read_bytes()


def test_a_bad_value_is_named_by_its_row(project: Project) -> None:
    paths = collected(project)
    raw = pd.read_parquet(paths.raw)
    raw.loc[60, "Light"] = "1.5"
    raw.to_parquet(paths.raw)
    with pytest.raises(DataError, match=r"column 'Light', row 61: 1\.5 is not admitted"):
        in_parts.prepare_parts(project.spec, paths, part_rows=10)
    assert not paths.train.exists()
