"""Rows against their declaration: what is taken, what is refused, and how that is told."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from treeline.config.models import ModelSpec
from treeline.contract.problems import shown
from treeline.errors import DataError
from treeline.preparation.checking import check
from treeline.preparation.whole import prepare

CATEGORY = {"type": "category", "categories": ["1", "2"]}


def declared(
    feature: dict[str, Any] | None = None,
    *,
    target: dict[str, Any] | None = None,
    columns: dict[str, str] | None = None,
    group: str | None = None,
    key: str | None = None,
) -> ModelSpec:
    """Return a model of one feature, `a`, and the target `t`."""
    return ModelSpec.model_validate(
        {
            "source": {"kind": "library", "dataset": "iris", "columns": columns or {}, "key": key},
            "target": target or {"name": "t", "task": "regression"},
            "features": {"a": feature or {"type": "number"}},
            "split": {"group": group},
            "candidates": {"ridge": {"estimator": "sklearn.linear_model.Ridge"}},
            "search": {},
            "champion": {"metric": "accuracy" if target else "rmse"},
            "gate": {},
        }
    )


def rows(*values: object, dtype: str | None = None, **others: list[Any]) -> pd.DataFrame:
    """Return a frame whose column `a` holds `values`."""
    return pd.DataFrame(
        {"a": pd.Series(values, dtype=dtype), "t": np.arange(len(values), dtype=float), **others}
    )


def refusal(frame: pd.DataFrame, spec: ModelSpec) -> list[str]:
    """Return the lines in which a frame is refused."""
    with pytest.raises(DataError) as error:
        check(frame, spec)
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    "frame",
    [
        rows(1, 2),
        rows(1.0, 2.0),
        rows("1", "2"),
        rows("1", "2", dtype="object"),
        rows(1, 2, dtype="Int64"),
        rows("1", "2", dtype="category"),
        rows(1, 2, dtype="object"),
    ],
    ids=["int", "float", "str", "object", "Int64", "category", "object of int"],
)
def test_a_category_is_the_same_text_however_the_source_types_it(frame: pd.DataFrame) -> None:
    assert check(frame, declared(CATEGORY))["a"].tolist() == ["1", "2"]


def test_a_category_column_of_integers_with_gaps_keeps_its_categories() -> None:
    checked = check(rows(1, None, 2), declared(CATEGORY | {"nullable": True}))
    assert checked["a"].tolist()[::2] == ["1", "2"]
    assert checked["a"].isna().tolist() == [False, True, False]


def test_a_category_that_is_a_fraction_keeps_its_digits() -> None:
    spec = declared({"type": "category", "categories": ["0.5", "1.5"]})
    assert check(rows(0.5, 1.5), spec)["a"].tolist() == ["0.5", "1.5"]


def test_a_category_that_is_a_date_is_written_as_in_the_file() -> None:
    spec = declared({"type": "category", "categories": ["2018-05-25"]})
    assert check(rows(datetime.date(2018, 5, 25)), spec)["a"].tolist() == ["2018-05-25"]


@pytest.mark.parametrize(
    ("categories", "values", "typed"),
    [
        (["007", "7"], ["007", "7"], ["007", "7"]),
        (["1.10", "1.1"], ["1.10", "1.1"], ["1.10", "1.1"]),
        (["NA", "CA"], ["NA", "CA"], ["NA", "CA"]),
        (["1", "2"], ["1.0", "2.0"], ["1", "2"]),
        (["1.0", "2.0"], ["1.0", "2.0"], ["1.0", "2.0"]),
        (["true", "false"], ["True", "FALSE"], ["true", "false"]),
        (["True", "true"], ["True", "true"], ["True", "true"]),
    ],
    ids=["zeros", "versions", "words", "typed floats", "decimals", "typed truths", "two spellings"],
)
def test_a_category_has_the_spelling_of_the_file(
    categories: list[str], values: list[str], typed: list[str]
) -> None:
    spec = declared({"type": "category", "categories": categories})
    assert check(rows(*values, dtype="str"), spec)["a"].tolist() == typed


@pytest.mark.parametrize(
    ("categories", "value"), [(["7"], "007"), (["7"], "7.0"), (["1.1"], "1.10"), (["true"], "True")]
)
def test_another_spelling_is_another_category(categories: list[str], value: str) -> None:
    spec = declared({"type": "category", "categories": [*categories, "x"]})
    told = refusal(rows(value, "x", dtype="str"), spec)[0]
    assert told.startswith(f"column 'a', row 1: {shown(value)} is not admitted")


@pytest.mark.parametrize(
    ("categories", "values", "lost"),
    [
        (["1.1", "1.10"], [1.1, 2.5], 1.1),
        (["1.10", "2.50"], [1.1, 2.5], 1.1),
        (["1.00", "2.00"], [1.0, 2.0], 1.0),
        (["1e1", "2.5"], [10.0, 2.5], 10.0),
    ],
    ids=["two of one number", "a last 0", "whole", "an exponent"],
)
def test_a_category_whose_spelling_the_source_lost_is_refused_with_the_way_out(
    categories: list[str], values: list[float], lost: float
) -> None:
    spec = declared({"type": "category", "categories": categories})
    lines = refusal(rows(*values), spec)
    assert f"column 'a', row 1: {shown(lost)} is not admitted" in lines[0]
    assert "(1.10 is 1.1): cast the column to text in a `query`" in lines[-1]
    assert check(rows(*map(str, categories)), spec)["a"].tolist() == categories


def test_a_category_that_is_plainly_new_says_nothing_of_spelling() -> None:
    spec = declared({"type": "category", "categories": ["1.1", "2.5"]})
    assert "spelling" not in refusal(rows(1.1, 3.5), spec)[-1]
    assert "spelling" not in refusal(rows(1.1, None), spec)[-1]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.50", 1.5), ("007", 7), (" 2 ", 2), ("1e3", 1000), ("-0", 0), ("+.5", 0.5)],
)
def test_a_number_is_read_from_its_text(text: str, number: float) -> None:
    assert check(rows(text, dtype="str"), declared())["a"].tolist() == [number]


@pytest.mark.parametrize(
    "text",
    ["0x1F", "1,5", "1_0", "1 000", "08:30", "true", "1.5.1", "nan", "\N{ARABIC-INDIC DIGIT ONE}"],
)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    told = refusal(rows(text, "1", dtype="str"), declared())[0]
    assert told.startswith(f"column 'a', row 1: {shown(text)} is a text; give a number")


@pytest.mark.parametrize("spelling", [["true", "false"], ["True", "False"], ["TRUE", "FALSE"]])
@pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
def test_true_and_false_are_spelt_as_the_categories_are(spelling: list[str], dtype: str) -> None:
    spec = declared({"type": "category", "categories": spelling})
    assert check(rows(True, False, dtype=dtype), spec)["a"].tolist() == spelling


@pytest.mark.parametrize(
    "frame",
    [
        rows(True, False, None),
        rows(True, False, None, dtype="boolean"),
        rows("true", "FALSE", None),
        rows("True", "False", None, dtype="object"),
        rows(1, 0, None),
        rows(1, 0, None, dtype="Int64"),
        rows("1", "0", None),
    ],
    ids=["object", "boolean", "words", "objects of words", "1.0", "Int64", "texts of digits"],
)
def test_a_boolean_is_told_from_words_and_digits(frame: pd.DataFrame) -> None:
    checked = check(frame, declared({"type": "boolean", "nullable": True}))["a"]
    assert checked.dtype == "boolean"
    assert checked.tolist() == [True, False, pd.NA]


def test_a_boolean_is_nothing_else() -> None:
    lines = refusal(rows("yes", "true", 2, dtype="object"), declared({"type": "boolean"}))
    assert lines[:2] == [
        "column 'a', row 1: \"yes\" is a text; give true or false",
        "column 'a', row 3: 2 is a number; give true or false",
    ]


@pytest.mark.parametrize(
    "frame",
    [
        rows(1, 2, dtype="int32"),
        rows(1, 2, dtype="Int64"),
        rows("1", " 2 "),
        rows(Decimal("1"), Decimal("2")),
        rows(1, 2, dtype="float32"),
        rows(1, "2", dtype="object"),
    ],
    ids=["int32", "Int64", "texts", "decimals", "float32", "mixed"],
)
def test_a_number_is_a_float_however_the_source_types_it(frame: pd.DataFrame) -> None:
    checked = check(frame, declared())["a"]
    assert checked.dtype == "float64"
    assert checked.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        (rows("1", "x"), '"x" is a text; give a number'),
        (rows("1", "0,5"), '"0,5" is a text; give a number'),
        (rows("1", "0x1F"), '"0x1F" is a text; give a number'),
        (rows("1", "nan"), '"nan" is a text; give a number'),
        (rows(1, np.inf), "Infinity is not admitted; give a number"),
        (rows("1", "inf"), '"inf" is a text; give a number'),
        (
            rows(1, 1e39),
            "1e+39 is not admitted; give a number that fits float32: at most 3.40282e+38 in size",
        ),
        (rows(1, True, dtype="object"), "true is a boolean; give a number"),
        (
            rows(1, datetime.date(2018, 5, 25)),
            '"2018-05-25" is a date or a time; give a number',
        ),
    ],
    ids=[
        "word",
        "comma",
        "hexadecimal",
        "nan",
        "infinite",
        "text of it",
        "beyond float32",
        "true",
        "date",
    ],
)
def test_what_is_no_number_is_refused_with_its_row_and_value(
    frame: pd.DataFrame, value: str
) -> None:
    line, way_out = refusal(frame, declared())
    assert line == f"column 'a', row 2: {value}"
    assert way_out == "correct the data, or the declaration of the column in params.yaml"


def test_times_are_no_numbers() -> None:
    times = pd.DataFrame({"a": pd.to_datetime(["2018-05-25"]), "t": [1.0]})
    assert refusal(times, declared())[0].startswith("column 'a', row 1: \"2018-05-25T00:00:00")


@pytest.mark.parametrize(
    ("feature", "value", "needed"),
    [
        ({"type": "number", "minimum": 0, "maximum": 1}, 1.5, "a number from 0 to 1"),
        ({"type": "number", "minimum": 0}, -0.25, "a number, at least 0"),
        ({"type": "integer"}, 2.5, "a whole number"),
        ({"type": "integer", "maximum": 3}, 4.0, "a whole number, at most 3"),
    ],
    ids=["above", "below", "fraction", "whole but above"],
)
def test_a_number_out_of_bounds_is_refused(
    feature: dict[str, Any], value: float, needed: str
) -> None:
    line, _ = refusal(rows(value), declared(feature))
    assert line == f"column 'a', row 1: {value} is not admitted; give {needed}"


@pytest.mark.parametrize("value", [2**24 + 1, -(2**24) - 1, 1_764_000_000_000])
@pytest.mark.parametrize("maximum", [None, 1e13])
def test_a_whole_number_that_float32_does_not_keep_is_refused_with_the_way_out(
    value: int, maximum: float | None
) -> None:
    feature = {"type": "integer", "maximum": maximum}
    line, *_, last = refusal(rows(2**24, value), declared(feature))
    assert line.startswith(f"column 'a', row 2: {value} is not admitted; give a whole number")
    assert "at most 16777216 in size" in line
    assert "subtract an offset" in last and "`type: number`" in last


def test_bounds_are_admitted() -> None:
    spec = declared({"type": "number", "minimum": 0, "maximum": 1})
    assert check(rows(0, 1), spec)["a"].tolist() == [0, 1]


def test_a_new_category_is_told_with_column_row_and_value() -> None:
    spec = declared({"type": "category", "categories": ["Acer", "Quercus"]})
    line, _ = refusal(rows("Acer", "Quercus", "Prunus"), spec)
    assert line == "column 'a', row 3: \"Prunus\" is not admitted; give one of Acer, Quercus"


@pytest.mark.parametrize(
    ("feature", "needed"),
    [
        ({"type": "number"}, "a number"),
        ({"type": "boolean"}, "true or false"),
        (CATEGORY, "one of 1, 2"),
    ],
    ids=["number", "boolean", "category"],
)
def test_a_missing_value_needs_a_fill_or_leave(feature: dict[str, Any], needed: str) -> None:
    line, way_out = refusal(rows(None, 1), declared(feature))
    assert line == f"column 'a', row 1: is missing; give {needed}"
    assert "`fill` or `nullable: true` admits missing values" in way_out
    assert check(rows(None, 1), declared(feature | {"nullable": True}))["a"].isna().sum() == 1


def test_a_column_without_any_value_is_missing_everywhere() -> None:
    spec = declared({"type": "number", "nullable": True})
    assert check(rows(None, None, dtype="object"), spec)["a"].isna().all()


def test_several_faults_are_told_at_once_and_many_of_a_kind_are_counted() -> None:
    spec = declared({"type": "number", "maximum": 1}, columns={"plot": "integer"}, group="plot")
    frame = rows("x", 2, None, 0.5, 3, 4, 5, 6, plot=[1, 2, None, 4, 5.5, 6, 7, 8])
    assert refusal(frame, spec)[:-1] == [
        "column 'a', row 1: \"x\" is a text; give a number, at most 1",
        "column 'a', row 2: 2 is not admitted; give a number, at most 1",
        "column 'a', row 3: is missing; give a number, at most 1",
        "column 'a', row 5: 3 is not admitted; give a number, at most 1",
        "column 'a', row 6: 4 is not admitted; give a number, at most 1",
        "column 'a': 2 more rows like these",
        "column 'plot', row 3: is missing; give a whole number, for the split groups rows by it",
        "column 'plot', row 5: 5.5 is not admitted; give a whole number, for the split groups "
        "rows by it",
    ]


def test_rows_are_counted_as_in_the_file_when_some_are_left_out() -> None:
    spec = declared({"type": "number", "maximum": 1})
    frame = rows(0.5, 0.5, 7).set_index(pd.Index([0, 4, 9]))
    assert refusal(frame, spec)[0].startswith("column 'a', row 10: 7.0 is not")


def test_rows_are_counted_from_the_first_whatever_index_the_frame_came_with() -> None:
    frame = rows("x", 1, 2, 3).set_index(pd.Index(["k", "l", "m", "n"]))
    with pytest.raises(DataError, match='row 1: "x"'):
        prepare(frame, declared())


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 0], "int64"),
        ([1, 0], "Int64"),
        ([1.0, 0.0], "float64"),
        (["1", "0"], "str"),
        ([True, False], "bool"),
        ([True, False], "object"),
        ([True, False], "boolean"),
    ],
    ids=["int", "Int64", "float", "text", "bool", "object", "boolean"],
)
@pytest.mark.parametrize(("positive", "kind"), [(1, "float64"), (True, "bool")], ids=["1", "true"])
def test_a_binary_target_has_the_type_of_its_positive_class(
    values: list[Any], dtype: str, positive: object, kind: str
) -> None:
    spec = declared(target={"name": "t", "task": "binary", "positive": positive})
    frame = pd.DataFrame({"a": [1, 2], "t": pd.Series(values, dtype=dtype)})
    checked = check(frame, spec)["t"]
    assert checked.dtype == kind
    assert checked.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "positive", "kept"),
    [
        (["dead", "alive"], "dead", ["dead", "alive"]),
        ([1, 0], "1", ["1", "0"]),
        ([True, False], "True", ["True", "false"]),
    ],
    ids=["words", "digits", "truths"],
)
def test_a_binary_target_is_text_when_its_positive_class_is(
    values: list[Any], positive: str, kept: list[str]
) -> None:
    spec = declared(target={"name": "t", "task": "binary", "positive": positive})
    assert check(pd.DataFrame({"a": [1, 2], "t": values}), spec)["t"].tolist() == kept


@pytest.mark.parametrize(
    ("values", "kept"),
    [([1, 2], [1.0, 2.0]), ([True, False], [True, False]), (["x", "y"], ["x", "y"])],
    ids=["int", "bool", "str"],
)
def test_classes_of_many_are_numbers_or_texts_as_the_source_has_them(
    values: list[Any], kept: list[Any]
) -> None:
    spec = declared(target={"name": "t", "task": "multiclass"})
    assert check(pd.DataFrame({"a": [1, 2], "t": values}), spec)["t"].tolist() == kept


@pytest.mark.parametrize(
    ("target", "values", "row"),
    [
        ({"task": "regression"}, [1.0, np.inf], "row 2: Infinity"),
        ({"task": "regression"}, ["1", "tall"], 'row 2: "tall"'),
        ({"task": "binary", "positive": 1}, ["1", "dead"], 'row 2: "dead"'),
        ({"task": "binary", "positive": 1}, [1, 2**53 + 2], "row 2: 9007199254740994"),
    ],
    ids=["infinite", "word", "word for a number", "two classes in one float"],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    target: dict[str, Any], values: list[Any], row: str
) -> None:
    spec = declared(target={"name": "t"} | target) if "positive" in target else declared()
    line, _ = refusal(pd.DataFrame({"a": [1, 2], "t": values}), spec)
    assert line == f"column 't', {row} is not admitted; give a finite number"


@pytest.mark.parametrize(
    ("kind", "values", "kept"),
    [
        ("integer", [1.0, None], [1, pd.NA]),
        ("integer", ["1", "2"], [1, 2]),
        ("number", [1, 2.5], [1.0, 2.5]),
        ("text", [1.0, 2.0], ["1", "2"]),
        ("text", ["a", "b"], ["a", "b"]),
    ],
)
def test_a_carried_column_has_its_declared_type(
    kind: str, values: list[Any], kept: list[Any]
) -> None:
    checked = check(rows(1, 2, plot=values), declared(columns={"plot": kind}))
    assert checked["plot"].tolist() == kept


def test_a_whole_number_too_large_to_be_exact_is_refused() -> None:
    spec = declared(columns={"plot": "integer"})
    line, _ = refusal(rows(1, plot=[1e300]), spec)
    assert line == "column 'plot', row 1: 1e+300 is not admitted; give a whole number"


def test_the_frame_given_is_left_as_it_was() -> None:
    frame = rows("1", "2")
    before = frame.copy()
    check(frame, declared())
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("kind", "values", "wrong"),
    [
        ("text", ["tx-1", "a:b", None], None),
        ("text", [1, 2, 3], None),
        ("integer", [1, 2, None], None),
        ("text", ["tx-1", "two words", "b"], 'row 2: "two words"'),
        ("text", ["", "x" * 101, "b"], 'row 1: ""'),
    ],
    ids=["texts", "numbers as texts", "numbers", "blank inside", "empty and long"],
)
def test_a_key_is_carried_where_it_is_plain(
    kind: str, values: list[Any], wrong: str | None
) -> None:
    spec = declared(columns={"tx": kind}, key="tx")
    frame = rows(1, 2, 3, tx=values)
    if wrong is None:
        assert check(frame, spec)["tx"].notna().tolist() == [each is not None for each in values]
    else:
        line = refusal(frame, spec)[0]
        assert wrong in line and "1 to 100 plain characters" in line
