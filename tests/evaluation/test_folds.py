"""All rows are judged by refits that have not seen them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from treeline.artifact import Prediction
from treeline.errors import DataError
from treeline.evaluation.intervals import Repeat, evaluate_repeats
from treeline.evaluation.units import Units, parts_of, predicted

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


NOISE = np.random.default_rng(1)
PLOTS = np.repeat(np.arange(12), 10)
TRUE = NOISE.integers(0, 2, 120)
COLUMNS = pd.DataFrame(NOISE.normal(size=(120, 3)).astype(np.float32), columns=list("abc"))


@pytest.mark.parametrize("folds", [5, 10, "all"])
@pytest.mark.parametrize(("metric", "of_shares"), [("roc_auc", 0.5), ("ks", 0.0)])
def test_class_shares_rank_nothing_however_often_refitted(
    folds: Any, metric: str, of_shares: float
) -> None:
    """Pooled over the refits their area was below 0.5, and 0 with one row a part."""
    estimators = {
        "champion": LogisticRegression().fit(COLUMNS, TRUE),
        "baseline": DummyClassifier(strategy="prior").fit(COLUMNS, TRUE),
    }
    units = Units.groups(PLOTS)
    parts = parts_of(units, folds, seed=0)
    repeat = Repeat(predicted(COLUMNS, TRUE, estimators, parts=parts), parts)
    found = evaluate_repeats(TRUE, [repeat], [metric], units=units)
    assert found["baseline"][metric]["value"] == of_shares
    if metric == "roc_auc":
        assert found["advantage"]["baseline"][metric]["low"] < 0


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [("roc_auc", roc_auc_score), ("average_precision", average_precision_score)],
)
def test_a_metric_of_ranks_is_the_mean_over_the_parts(metric: str, theirs: Any) -> None:
    scores = NOISE.random(120)
    repeat = Repeat({"a": Prediction(scores=np.column_stack([1 - scores, scores]))}, PLOTS)
    value, moves = repeat.measured("a", TRUE, [metric])[metric]
    parts = [theirs(TRUE[each == PLOTS], scores[each == PLOTS]) for each in range(12)]
    assert value == pytest.approx(np.mean(parts))
    assert moves.mean() == pytest.approx(0, abs=1e-12)


def test_parts_of_one_class_have_no_metric_of_ranks() -> None:
    scores = np.column_stack([1 - TRUE, TRUE]).astype(float)
    repeat = Repeat({"a": Prediction(labels=TRUE, scores=scores)}, np.arange(120))
    found = repeat.measured("a", TRUE, ["roc_auc", "accuracy", "log_loss"])
    assert list(found) == ["accuracy", "log_loss"]
