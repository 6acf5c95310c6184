"""The number that decides the side of a row: of its values alone, the same for ever."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import NAME, Project
from treeline.config.models import ModelSpec
from treeline.preparation.splitting import hashes, named_by, places, row_hashes
from treeline.preparation.whole import prepare
from treeline.stages.collect import collect
from treeline.tables import read_frame


def one(value: Any, dtype: Any = None, *, seed: int = 0) -> int:
    return int(hashes(pd.DataFrame({"a": pd.Series([value], dtype=dtype)}), ["a"], seed=seed)[0])


def declared(project: Project, split: dict[str, Any]) -> ModelSpec:
    """Return the declaration with another split, of a seed that leaves rows on both sides."""
    document = project.document()
    document["models"][NAME]["split"] = {"test": 0.25, "seed": 2, **split}
    project.write(document)
    return project.spec


def collected(project: Project) -> pd.DataFrame:
    """Return the 120 rows of the project, some of which repeat the features of another."""
    collect(project.spec, project.paths)
    return read_frame(project.paths.raw)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (7, "int64", 1719433627752538167),
        (7, "Int64", 1719433627752538167),
        (7.0, "float64", 1719433627752538167),
        (0.1, "float64", 13697783933520033268),
        (-0.0, "float64", 586838370612925959),
        (0, "int64", 586838370612925959),
        (False, "bool", 586838370612925959),
        (False, "boolean", 586838370612925959),
        (2**53 + 1, "Int64", 12006654449891714592),
        ("Quercus alba", "str", 4580045332734516982),
        ("Quercus alba", "object", 4580045332734516982),
        ("Quercus alba", "category", 4580045332734516982),
        (None, "str", 2845126478054195889),
        (np.nan, "float64", 2845126478054195889),
        (pd.NA, "Int64", 2845126478054195889),
        (pd.NA, "boolean", 2845126478054195889),
    ],
)
def test_a_value_has_the_same_hash_for_ever_whatever_holds_it(
    value: Any, dtype: str, expected: int
) -> None:
    """The numbers stand here so that no change of a library or of the code moves a row."""
    assert one(value, dtype) == expected


def test_values_that_differ_have_hashes_that_differ() -> None:
    values = [0, 1, 2**53 + 1, 2**53 + 2, 0.1, -1, np.nan, np.inf]
    found = {one(value) for value in values} | {one(text, "str") for text in ("1", "", "nan")}
    assert len(found) == len(values) + 3
    assert one(1) != one(1, seed=1)


def test_the_order_of_columns_counts_and_that_of_rows_does_not() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", None]})
    found = hashes(frame, ["a", "b"], seed=0)
    assert hashes(frame, ["b", "a"], seed=0).tolist() != found.tolist()
    assert hashes(frame[::-1], ["a", "b"], seed=0).tolist() == found[::-1].tolist()
    assert hashes(frame[2:], ["a", "b"], seed=0)[0] == found[2]


def test_places_are_spread_evenly() -> None:
    frame = pd.DataFrame({"a": np.arange(100_000)})
    found = places(hashes(frame, ["a"], seed=0))
    shares, _ = np.histogram(found, bins=10, range=(0, 1))
    assert abs(shares - 10_000).max() < 400  # 4 deviations of the count in a tenth
    assert found.min() >= 0 and found.max() < 1


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, ("EMF", "Light", "Species")),
        ({"group": "Plot"}, ("Plot",)),
        ({"key": "Plot"}, ("Plot",)),
        ({"key": ["Plot", "Harvest"]}, ("Plot", "Harvest")),
    ],
    ids=["values", "group", "key", "keys"],
)
def test_what_names_a_row_is_declared(
    project: Project, change: dict[str, Any], names: tuple[str, ...]
) -> None:
    spec = declared(project, change)
    assert named_by(spec) == names
    outcome = prepare(collected(project), spec)
    assert outcome.summary["split"]["names"] == list(names)
    for side in (outcome.train, outcome.test):
        assert len(side)
    sides = [set(row_hashes(side, spec)) for side in (outcome.train, outcome.test)]
    assert not sides[0] & sides[1]  # twins, the rows of a key and those of a group are together
    assert (places(np.array([*sides[1]], dtype=np.uint64)) < spec.split.test).all()


def test_a_missing_value_that_is_filled_leaves_the_row_where_it_was(project: Project) -> None:
    """Both splits hold fills, and a comparison asks again which rows they are."""
    spec = declared(project, {})
    outcome = prepare(collected(project), spec)
    assert outcome.summary["missing"]["EMF"] > 0
    assert (places(row_hashes(outcome.test, spec)) < spec.split.test).all()
