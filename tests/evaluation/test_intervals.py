"""Metrics with intervals, and leads with intervals of their own, by rows, groups and blocks."""

import json
from time import process_time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.config.metrics import metrics_of
from treeline.evaluation.intervals import Repeat, evaluate, evaluate_repeats
from treeline.evaluation.units import FEWEST, Units

N = 120
RNG = np.random.default_rng(0)
TRUTH = np.tile([0, 1], N // 2)
VALUES = RNG.normal(size=N)


def classifier(certainty: float, *, seed: int = 1) -> Prediction:
    """Return predictions that lean towards the truth by `certainty`."""
    noise = np.random.default_rng(seed).uniform(size=N)
    positive = certainty * TRUTH + (1 - certainty) * noise
    return Prediction(
        labels=(positive > 0.5).astype(int), scores=np.column_stack([1 - positive, positive])
    )


def regressor(noise: float) -> Prediction:
    return Prediction(values=VALUES + noise * np.random.default_rng(2).normal(size=N))


def accuracy_of(prediction: Prediction, units: Units | None = None, **further: Any) -> Any:
    found = evaluate(TRUTH, {"champion": prediction}, ["accuracy"], units=units, **further)
    return found["champion"]["accuracy"]


def width(interval: Any) -> float:
    return float(interval["high"] - interval["low"])


def test_an_interval_holds_its_value_and_has_a_width() -> None:
    found = evaluate(TRUTH, {"champion": classifier(0.3)}, ["brier", "log_loss", "roc_auc"])
    for it in found["champion"].values():
        assert it["low"] < it["value"] < it["high"]


def test_an_interval_is_about_as_wide_as_theory_says() -> None:
    """Beside Wilson's interval for 96 of 120, which is 0.72 to 0.862."""
    prediction = Prediction(labels=np.where(np.arange(N) % 5 == 0, 1 - TRUTH, TRUTH))
    found = accuracy_of(prediction)
    assert found["value"] == 0.8
    assert found["low"] == pytest.approx(0.72, abs=0.005)
    assert found["high"] == pytest.approx(0.862, abs=0.005)


def test_an_interval_of_less_certainty_is_narrower() -> None:
    assert (
        width(accuracy_of(classifier(0.3), level=0.8)) < width(accuracy_of(classifier(0.3))) / 1.4
    )


@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "average_precision", "ks"])
def test_a_perfect_share_is_not_told_as_certain(metric: str) -> None:
    """No failure among 120 rows (60 of the rarer class) still admits some."""
    perfect = Prediction(labels=TRUTH, scores=np.eye(2)[TRUTH])
    found = evaluate(TRUTH, {"a": perfect}, [metric])["a"][metric]
    rows = N if metric == "accuracy" else N // 2
    assert found == {"value": 1, "low": pytest.approx(0.025 ** (1 / rows), abs=1e-6), "high": 1}


def test_a_share_of_nought_is_not_told_as_certain() -> None:
    found = evaluate(TRUTH, {"a": Prediction(labels=1 - TRUTH)}, ["accuracy", "f1"])["a"]
    assert found["accuracy"]["high"] == pytest.approx(1 - 0.025 ** (1 / N), abs=1e-6)
    assert found["f1"]["high"] == pytest.approx(1 - 0.025 ** (2 / N), abs=1e-6)


def test_an_error_that_is_nought_stays_so() -> None:
    found = evaluate(VALUES, {"a": Prediction(values=VALUES)}, ["rmse", "mae", "r2"])["a"]
    assert found["rmse"] == found["mae"] == {"value": 0, "low": 0, "high": 0}
    assert found["r2"] == {"value": 1, "low": 1, "high": 1}


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"], ids=["higher", "lower is better"])
def test_the_lead_of_the_better_one_is_positive(metric: str) -> None:
    good, poor = classifier(0.6), classifier(0.2)
    ahead = evaluate(TRUTH, {"a": good, "b": poor}, [metric])["advantage"]["b"][metric]
    behind = evaluate(TRUTH, {"a": poor, "b": good}, [metric])["advantage"]["b"][metric]
    assert ahead["low"] > 0
    assert behind["high"] < 0
    assert ahead["value"] == -behind["value"]


def test_the_lead_of_smaller_errors_is_positive() -> None:
    found = evaluate(VALUES, {"a": regressor(0.1), "b": regressor(1)}, ["rmse", "r2"])
    assert found["a"]["rmse"]["value"] < found["b"]["rmse"]["value"]
    assert found["advantage"]["b"]["rmse"]["low"] > 0
    assert found["advantage"]["b"]["r2"]["low"] > 0


def test_the_same_prediction_has_no_lead_at_all() -> None:
    found = evaluate(TRUTH, {"a": classifier(0.3), "b": classifier(0.3)}, ["brier"])
    assert found["advantage"]["b"]["brier"] == {"value": 0, "low": 0, "high": 0}


def test_a_paired_interval_is_narrower_than_those_it_comes_from() -> None:
    better = classifier(0.35)
    found = evaluate(TRUTH, {"a": better, "b": classifier(0.3)}, ["brier"])
    assert width(found["advantage"]["b"]["brier"]) < width(found["a"]["brier"]) / 2


def test_one_without_probabilities_is_judged_by_what_it_gives() -> None:
    rival = Prediction(labels=TRUTH)
    found = evaluate(TRUTH, {"a": classifier(0.3), "b": rival}, ["accuracy", "roc_auc"])
    assert list(found["b"]) == ["accuracy"]
    assert list(found["advantage"]["b"]) == ["accuracy"]


def test_rows_that_are_copies_of_each_other_count_once_in_their_group() -> None:
    groups = np.repeat(np.arange(N // 4), 4)
    labels = np.where(groups % 5 == 0, 1 - TRUTH, TRUTH)
    alone, together = (
        accuracy_of(Prediction(labels=labels), units)
        for units in (Units.rows(N), Units.groups(groups))
    )
    assert alone["value"] == together["value"]
    assert width(together) == pytest.approx(2 * width(alone), rel=0.1)


@pytest.mark.parametrize(
    ("sizes", "enough"),
    [
        ([30] * 4, False),
        ([20] * 6, False),
        ([15] * FEWEST, True),
        ([1] * 20 + [100], False),
        ([5] * 24, True),
    ],
    ids=["4 plots", "6 plots", "just enough", "one holds nearly all", "24 plots"],
)
def test_too_few_groups_have_no_interval(sizes: list[int], enough: bool) -> None:
    units = Units.groups(np.repeat(np.arange(len(sizes)), sizes), name="Plot")
    assert units.enough is enough
    assert units.words == f"{len(sizes)} groups of Plot"
    found = evaluate(TRUTH, {"a": classifier(0.3), "b": classifier(0.1)}, ["accuracy"], units=units)
    for it in (found["a"]["accuracy"], found["advantage"]["b"]["accuracy"]):
        assert (it["low"] is not None) is enough
        assert (it["high"] is not None) is enough


def test_blocks_are_stretches_of_the_order() -> None:
    units = Units.blocks(np.arange(100))
    assert units.count == 20
    assert (np.diff(units.codes) >= 0).all()
    assert set(units.sizes) == {5}


def test_a_metric_of_repeats_is_their_mean() -> None:
    one, other = classifier(0.3, seed=1), classifier(0.3, seed=5)
    values = [evaluate(TRUTH, {"a": it}, ["brier"])["a"]["brier"]["value"] for it in (one, other)]
    both = evaluate_repeats(TRUTH, [Repeat({"a": one}), Repeat({"a": other})], ["brier"])["a"][
        "brier"
    ]
    assert both["value"] == pytest.approx(np.mean(values), abs=1e-6)
    assert both["low"] < both["value"] < both["high"]


def test_two_hundred_thousand_rows_take_seconds() -> None:
    """Every metric of two models; resampling took 75 seconds."""
    n, rng = 200_000, np.random.default_rng(0)
    truth = rng.integers(0, 2, n)
    positive = np.clip(0.3 * truth + 0.7 * rng.random((2, n)), 0, 1)
    predictions = {
        name: Prediction(
            labels=(share > 0.5).astype(int), scores=np.column_stack([1 - share, share])
        )
        for name, share in zip("ab", positive, strict=True)
    }
    began = process_time()
    evaluate(truth, predictions, list(metrics_of("binary")))
    assert process_time() - began < 8


def test_what_evaluation_gives_is_plain_json() -> None:
    for units in (None, Units.groups(np.arange(N) % 4)):
        found = evaluate(
            TRUTH, {"a": classifier(0.3), "b": classifier(0.2)}, ["brier"], units=units
        )
        assert json.loads(json.dumps(found, allow_nan=False)) == found


USELESS = [(40, 20), (111, 44), (456, 180), (100, 2), (100, 5), (456, 9), (60, 6)]


@pytest.mark.parametrize(("n", "positive"), USELESS)
@pytest.mark.parametrize("metric", ["roc_auc", "ks"])
def test_noise_hardly_ever_leads_class_shares(metric: str, n: int, positive: int) -> None:
    """Up to 73 % of such models led by `ks`, and 21 % by `roc_auc` with two positive rows."""
    rng, leads = np.random.default_rng(0), 0
    truth = np.arange(n) < positive
    for _ in range(200):
        predictions = {"noise": scored(rng.random(n)), "shares": scored(np.full(n, 0.3))}
        found = evaluate(truth.astype(int), predictions, [metric])["advantage"]["shares"][metric]
        leads += found["low"] is not None and found["low"] > 0
    assert leads <= 12


@pytest.mark.parametrize(("positive", "has_one"), [(1, False), (7, False), (8, True)])
def test_ranks_have_an_interval_from_eight_rows_of_each_class(positive: int, has_one: bool) -> None:
    truth = (np.arange(100) < positive).astype(int)
    found = evaluate(truth, {"a": scored(RNG_OF_RANKS.random(100))}, ["roc_auc", "log_loss"])["a"]
    assert (found["roc_auc"]["low"] is not None) == has_one
    assert found["log_loss"]["low"] is not None


def test_two_perfect_rankings_of_few_rows_are_not_shown_to_be_as_good() -> None:
    truth = (np.arange(20) < 10).astype(int)
    one, other = scored(0.1 + 0.8 * truth), scored(0.2 + 0.5 * truth)
    found = evaluate(truth, {"a": one, "b": other}, ["roc_auc"])["advantage"]["b"]["roc_auc"]
    assert (found["low"], found["value"], found["high"]) == pytest.approx(
        (-0.308, 0, 0.308), abs=1e-3
    )


RNG_OF_RANKS = np.random.default_rng(3)


def scored(positive: NDArray[Any]) -> Prediction:
    return Prediction(
        labels=(positive > 0.5).astype(int), scores=np.column_stack([1 - positive, positive])
    )
