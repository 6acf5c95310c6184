"""What preparation saw and did, and the order of the classes."""

import json
from typing import Any

import pandas as pd
import pytest

from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.whole import summarise
from treeline.records.summary import RowCounts


def declared(target: dict[str, Any], *, group: str | None = None) -> ModelSpec:
    metric = "rmse" if target["task"] == "regression" else "accuracy"
    return ModelSpec.model_validate(
        {
            "source": {"kind": "library", "dataset": "iris", "columns": {"plot": "integer"}},
            "target": {"name": "t"} | target,
            "features": {"a": {"type": "number", "nullable": True}},
            "split": {"group": group},
            "candidates": {"dummy": {"estimator": "sklearn.dummy.DummyClassifier"}},
            "search": {},
            "champion": {"metric": metric},
            "gate": {},
        }
    )


COUNTS: RowCounts = {
    "collected": 3, "left_out_by_where": 0, "without_target": 0, "train": 2, "test": 1
}  # fmt: skip


def summary(target: dict[str, Any], values: list[Any], *, group: str | None = None) -> Any:
    frame = pd.DataFrame({"t": values, "a": 1.0, "plot": range(len(values))})
    spec = declared(target, group=group)
    return summarise(frame, frame[:-1], frame[-1:], spec=spec, counts=COUNTS)


@pytest.mark.parametrize(
    ("target", "values", "classes", "counts"),
    [
        ({"task": "binary", "positive": 1}, [1.0, 0.0, 1.0], [0, 1], [1, 2]),
        ({"task": "binary", "positive": 0}, [1.0, 0.0, 1.0], [1, 0], [2, 1]),
        ({"task": "binary", "positive": True}, [True, False], [False, True], [1, 1]),
        ({"task": "binary", "positive": "alive"}, ["dead", "alive"], ["dead", "alive"], [1, 1]),
        ({"task": "multiclass"}, [2.0, 10.0, 1.0, 2.0], [1, 2, 10], [1, 2, 1]),
        ({"task": "multiclass"}, [0.5, 1.0, 0.5], [0.5, 1.0], [2, 1]),
        ({"task": "multiclass"}, ["b", "a", "c"], ["a", "b", "c"], [1, 1, 1]),
    ],
    ids=["1 positive", "0 positive", "true positive", "text", "numbers", "decimals", "texts"],
)
def test_classes_are_sorted_with_the_positive_one_last(
    target: dict[str, Any], values: list[Any], classes: list[Any], counts: list[int]
) -> None:
    found = summary(target, values)["target"]
    assert found == {"classes": classes, "counts": counts}
    assert [type(value) for value in found["classes"]] == [type(value) for value in classes]


@pytest.mark.parametrize(
    ("target", "values", "told"),
    [
        ({"task": "binary", "positive": 1}, [1.0, 1.0], "every row is 1,"),
        ({"task": "binary", "positive": 1}, [2.0, 3.0], "the rows hold 2, 3"),
        ({"task": "binary", "positive": "x"}, ["x", "y", "z"], "the rows hold 'x', 'y', 'z'"),
        ({"task": "multiclass"}, ["x", "x"], "every row is 'x'"),
    ],
    ids=["one class", "no positive class", "three classes", "one of many"],
)
def test_classes_that_cannot_be_told_apart_are_refused(
    target: dict[str, Any], values: list[Any], told: str
) -> None:
    with pytest.raises(DataError, match=f"target 't': .*{told}"):
        summary(target, values)


def test_values_are_described() -> None:
    found = summary({"task": "regression"}, [1.0, 2.0, 3.0])["target"]
    assert found == {"mean": 2.0, "std": 1.0, "min": 1.0, "max": 3.0}


def test_groups_on_both_sides_are_counted() -> None:
    found = summary({"task": "regression"}, [1.0, 2.0, 3.0], group="plot")
    assert found["groups"] == {"train": 2, "test": 1, "on_both_sides": 0}


def test_missing_and_repeated_rows_are_counted() -> None:
    frame = pd.DataFrame({"t": [1.0, 2.0, 3.0], "a": [1.0, None, 1.0], "plot": [1, 2, 3]})
    spec = declared({"task": "regression"})
    found = summarise(frame, frame[:2], frame[2:], spec=spec, counts=COUNTS)
    assert found["missing"] == {"a": 1}
    assert found["duplicates"] == 1


def test_the_summary_is_plain_json() -> None:
    found = summary({"task": "binary", "positive": 1}, [1.0, 0.0], group="plot")
    assert json.loads(json.dumps(found)) == found
