"""All rows are judged by refits that have not seen them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier

from treeline.errors import DataError
from treeline.evaluation.folds import parts_of, predicted
from treeline.evaluation.units import Units

GROUPS = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])


@pytest.mark.parametrize("folds", [2, 3, 5, 12, "all"])
def test_a_group_is_in_one_part_and_parts_are_of_about_one_size(folds: Any) -> None:
    parts = parts_of(Units.groups(GROUPS), folds, seed=0)
    assert len(np.unique(parts)) == (12 if folds == "all" else folds)
    assert all(len(np.unique(parts[group == GROUPS])) == 1 for group in range(12))
    if folds in (2, 3):
        assert np.ptp(np.bincount(parts)) <= 12


def test_repeats_draw_other_parts() -> None:
    units = Units.rows(50)
    drawn = [parts_of(units, 5, seed=0, repeat=repeat) for repeat in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize(
    ("units", "folds", "words"),
    [
        (Units.groups(GROUPS, name="Plot"), 13, "12 groups of Plot, too few for 13 parts"),
        (Units.rows(1000), "all", "would refit 1,000 times"),
    ],
)
def test_parts_that_cannot_be_are_refused(units: Units, folds: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parts_of(units, folds, seed=0)


def test_each_row_is_predicted_without_its_part() -> None:
    """The nearest neighbour of a row is its twin, which a refit without their group has not."""
    rng = np.random.default_rng(0)
    pairs = np.repeat(np.arange(40), 2)
    frame = pd.DataFrame({"a": rng.normal(size=40)[pairs].astype(np.float32)})
    truth = rng.integers(0, 2, 40)[pairs]
    nearest = {"a": KNeighborsClassifier(1).fit(frame, truth)}
    alone = predicted(frame, truth, nearest, parts=parts_of(Units.rows(80), "all", seed=0))
    whole = predicted(frame, truth, nearest, parts=parts_of(Units.groups(pairs), "all", seed=0))
    assert np.mean(alone["a"].labels == truth) == 1
    assert np.mean(whole["a"].labels == truth) < 0.75


def test_predictions_come_in_the_order_of_rows() -> None:
    frame = pd.DataFrame({"a": np.arange(30, dtype=np.float32)})
    truth = 2.0 * np.arange(30)
    parts = parts_of(Units.rows(30), 3, seed=1)
    found = predicted(frame, truth, {"a": LinearRegression().fit(frame, truth)}, parts=parts)
    assert found["a"].values == pytest.approx(truth, abs=1e-3)


def test_a_class_in_one_part_only_is_refused() -> None:
    frame = pd.DataFrame({"a": np.arange(10, dtype=np.float32)})
    truth = np.array([1] + [0] * 9)
    fitted = KNeighborsClassifier(1).fit(frame, truth)
    with pytest.raises(DataError, match="a class has rows in one part only"):
        predicted(frame, truth, {"a": fitted}, parts=parts_of(Units.rows(10), 2, seed=0))
