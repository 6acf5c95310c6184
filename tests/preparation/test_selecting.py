"""Which columns and rows of a source count, and what stands in for missing values."""

from typing import Any

import pandas as pd
import pytest

from treeline.config.models import ModelSpec
from treeline.config.sources import Range
from treeline.contract.features import Feature
from treeline.errors import DataError
from treeline.preparation.columns import declared_columns, filled, matching
from treeline.preparation.whole import prepare

FRAME = pd.DataFrame({"plot": [1, 2, 3, 4], "site": ["north", "south", None, "east"]})


@pytest.mark.parametrize(
    ("where", "plots"),
    [
        ({"plot": 2}, [2]),
        ({"plot": (1, 4)}, [1, 4]),
        ({"site": "south"}, [2]),
        ({"site": ("south", "east", "west")}, [2, 4]),
        ({"plot": Range(minimum=2, maximum=3)}, [2, 3]),
        ({"plot": Range(minimum=3)}, [3, 4]),
        ({"plot": Range(maximum=1.5)}, [1]),
        ({"plot": Range(minimum=2), "site": "east"}, [4]),
        ({}, [1, 2, 3, 4]),
    ],
    ids=["value", "list", "text", "texts", "range", "from", "up to", "two", "none"],
)
def test_rows_are_kept_that_meet_every_condition(where: dict[str, Any], plots: list[int]) -> None:
    assert matching(FRAME, where)["plot"].tolist() == plots


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 1, 0], "int64"),
        ([0, 1, 0], "float64"),
        (["0", "1", "0"], "str"),
        (["0.0", "1.0", "0.0"], "str"),
        ([False, True, False], "bool"),
        ([0, 1, 0], "Int64"),
        (["0", "1", 0], "object"),
    ],
    ids=["int", "float", "text", "text of float", "bool", "Int64", "mixed"],
)
@pytest.mark.parametrize("condition", [0, 0.0, False, (0, 5)], ids=repr)
def test_a_value_is_met_however_the_source_writes_it(
    values: list[Any], dtype: str, condition: Any
) -> None:
    frame = pd.DataFrame({"Harvest": pd.Series(values, dtype=dtype)})
    assert matching(frame, {"Harvest": condition}).index.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        ([0, 1, 0], "0"),
        ([0.0, 1.0, 0.0], "0"),
        (["0", "1", "0"], "0"),
        ([False, True, False], "False"),
    ],
    ids=["int", "float", "text", "bool"],
)
def test_a_text_is_met_by_what_reads_alike(values: list[Any], condition: str) -> None:
    frame = pd.DataFrame({"Harvest": values})
    assert matching(frame, {"Harvest": condition}).index.tolist() == [0, 2]


def test_a_missing_value_meets_no_condition() -> None:
    frame = pd.DataFrame({"Harvest": [None, 0.0, 1.0]})
    assert matching(frame, {"Harvest": (0, 1)}).index.tolist() == [1, 2]
    assert matching(frame, {"Harvest": Range(maximum=5)}).index.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"plot": 9}, "source.where.plot: no row has 9; the column holds 1, 2, 3, 4"),
        ({"site": ("a", "b")}, "no row has one of a, b; the column holds 'north', 'south', nan"),
        ({"plot": Range(minimum=5)}, "no row has at least 5; the column holds 1, 2, 3, 4"),
        ({"site": Range(minimum=5)}, "no row has at least 5; the column holds 'north'"),
    ],
    ids=["value", "list", "range", "range of text"],
)
def test_a_condition_that_no_row_meets_is_told(where: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as error:
        matching(FRAME, where)
    assert told in str(error.value)


def test_only_some_of_many_values_are_told() -> None:
    with pytest.raises(DataError, match=r"holds 0, 1, 2, 3, 4, 5, 6, 7, …: correct"):
        matching(pd.DataFrame({"plot": range(100)}), {"plot": 100})


@pytest.fixture
def spec(declaration: dict[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate(declaration)


def seedlings(**changed: list[Any]) -> pd.DataFrame:
    """Return eight rows as collected: four plots, half of the seedlings dead."""
    columns: dict[str, list[Any]] = {
        "Event": [0, 1] * 4,
        "Plot": [1, 1, 2, 2, 3, 3, 4, 4],
        "Harvest": [0] * 8,
        "EMF": [None, 5.0] * 4,
        "Light": [0.5] * 8,
        "Species": ["Acer", "Quercus"] * 4,
        "Soil": ["sand"] * 8,
    }
    return pd.DataFrame(columns | changed)


def test_declared_columns_are_kept_features_first(spec: ModelSpec) -> None:
    chosen = declared_columns(seedlings(), spec)
    assert list(chosen) == ["Species", "Light", "EMF", "Event", "Plot", "Harvest"]


def test_a_column_that_the_source_lacks_is_told_beside_those_it_has(spec: ModelSpec) -> None:
    with pytest.raises(DataError) as error:
        declared_columns(seedlings().drop(columns=["Light", "Plot"]), spec)
    assert str(error.value) == (
        "the source has no column 'Light', 'Plot'; it has 'Event', 'Harvest', 'EMF', 'Species', "
        "'Soil': declare those, or correct the source"
    )


def test_a_file_read_with_the_wrong_delimiter_raises_the_question(spec: ModelSpec) -> None:
    with pytest.raises(DataError, match=r"it has 'Plot;Light': .* \(is ',' its delimiter\?\)"):
        declared_columns(pd.DataFrame({"Plot;Light": ["1;2"]}), spec)


def test_a_column_that_the_source_has_twice_is_refused(spec: ModelSpec) -> None:
    frame = pd.concat([seedlings(), seedlings()[["Light"]]], axis=1)
    with pytest.raises(DataError, match="has the column 'Light' twice; remove or rename one"):
        declared_columns(frame, spec)


def test_missing_values_are_filled_as_declared() -> None:
    features = {
        "number": Feature(type="number", fill=1.5),
        "truth": Feature(type="boolean", fill=True),
        "word": Feature(type="category", categories=("x", "y"), fill="y"),
        "left": Feature(type="number", nullable=True),
    }
    frame = pd.DataFrame(
        {
            "number": [None, 2.0],
            "truth": pd.Series([None, False], dtype="boolean"),
            "word": pd.Series([None, "x"], dtype="str"),
            "left": [None, 1.0],
        }
    )
    assert filled(frame, features).iloc[0, :3].tolist() == [1.5, True, "y"]
    assert filled(frame, features)["left"].isna().tolist() == [True, False]


def test_prepared_rows_are_counted_from_source_to_split(spec: ModelSpec) -> None:
    raw = seedlings(Event=[0, 1, 0, 1, 0, 1, 0, None], Harvest=[0, 0, 0, 0, 0, 0, 1, 0])
    counts = prepare(raw, spec).summary["rows"]
    assert counts["collected"] == 8
    assert counts["left_out_by_where"] == 1
    assert counts["without_target"] == 1
    assert counts["train"] + counts["test"] == 6


def test_prepared_rows_are_filled(spec: ModelSpec) -> None:
    prepared = prepare(seedlings(), spec)
    assert sorted({*prepared.train["EMF"], *prepared.test["EMF"]}) == [0.0, 5.0]
    assert prepared.summary["missing"] == {"EMF": 4}


def test_rows_without_any_target_are_refused(spec: ModelSpec) -> None:
    with pytest.raises(DataError, match="column 'Event': no row has a target; correct the source"):
        prepare(seedlings(Event=[None] * 8), spec)
