"""Metrics with intervals, differences with intervals, and importances."""

import json

import numpy as np
import pandas as pd
import pytest

from treeline.artifact.prediction import Prediction
from treeline.evaluation import BLOCKS, MOST, REPEATS, chosen, evaluate, importances, resampled

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


def test_an_interval_holds_its_value_and_has_a_width() -> None:
    found = evaluate(TRUTH, {"champion": classifier(0.3)}, ["brier", "log_loss"], seed=0)
    for it in found["champion"].values():
        assert it["low"] < it["value"] < it["high"]


def test_an_interval_is_about_as_wide_as_theory_says() -> None:
    prediction = Prediction(labels=np.where(np.arange(N) % 5 == 0, 1 - TRUTH, TRUTH))
    found = evaluate(TRUTH, {"champion": prediction}, ["accuracy"], seed=0)["champion"]["accuracy"]
    deviation = np.sqrt(0.8 * 0.2 / N)
    assert found["value"] == 0.8
    assert found["low"] == pytest.approx(0.8 - 1.96 * deviation, abs=0.02)
    assert found["high"] == pytest.approx(0.8 + 1.96 * deviation, abs=0.02)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"], ids=["higher", "lower is better"])
def test_the_lead_of_the_better_one_is_positive(metric: str) -> None:
    good, poor = classifier(0.6), classifier(0.2)
    ahead = evaluate(TRUTH, {"a": good, "b": poor}, [metric], seed=0)["advantage"]["b"][metric]
    behind = evaluate(TRUTH, {"a": poor, "b": good}, [metric], seed=0)["advantage"]["b"][metric]
    assert ahead["low"] > 0
    assert behind["high"] < 0
    assert ahead["value"] == -behind["value"]


def test_the_lead_of_smaller_errors_is_positive() -> None:
    found = evaluate(VALUES, {"a": regressor(0.1), "b": regressor(1)}, ["rmse", "r2"], seed=0)
    assert found["a"]["rmse"]["value"] < found["b"]["rmse"]["value"]
    assert found["advantage"]["b"]["rmse"]["low"] > 0
    assert found["advantage"]["b"]["r2"]["low"] > 0


def test_the_same_prediction_has_no_lead_at_all() -> None:
    found = evaluate(TRUTH, {"a": classifier(0.3), "b": classifier(0.3)}, ["brier"], seed=0)
    assert found["advantage"]["b"]["brier"] == {"value": 0, "low": 0, "high": 0}


def test_a_paired_interval_is_narrower_than_those_it_comes_from() -> None:
    better = classifier(0.35)
    found = evaluate(TRUTH, {"a": better, "b": classifier(0.3)}, ["brier"], seed=0)
    width = {
        name: it["high"] - it["low"]
        for name, it in (("a", found["a"]["brier"]), ("lead", found["advantage"]["b"]["brier"]))
    }
    assert width["lead"] < width["a"] / 2


def test_one_without_probabilities_is_judged_by_what_it_gives() -> None:
    rival = Prediction(labels=TRUTH)
    found = evaluate(TRUTH, {"a": classifier(0.3), "b": rival}, ["accuracy", "roc_auc"], seed=0)
    assert list(found["b"]) == ["accuracy"]
    assert list(found["advantage"]["b"]) == ["accuracy"]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    first, again, other = (
        evaluate(TRUTH, {"a": classifier(0.3)}, ["brier"], seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["a"]["brier"]["value"] == other["a"]["brier"]["value"]
    assert first != other


def test_a_rare_class_is_in_every_resample() -> None:
    truth = np.array([1] + [0] * 39)
    scores = np.column_stack([1 - truth, truth]).astype(float)
    draws = resampled(truth, {"a": Prediction(scores=scores)}, ["roc_auc"], seed=0, resamples=50)
    assert draws["a"]["roc_auc"].tolist() == [1.0] * 50


def test_rows_can_be_chosen_from_a_prediction() -> None:
    rows = np.array([3, 1, 1])
    found = chosen(classifier(0.3), rows)
    assert found.labels is not None
    assert found.scores is not None
    assert (found.labels == classifier(0.3).labels[rows]).all()
    assert found.scores.shape == (3, 2)
    assert found.values is None


def knowing_frame(prediction_from: str) -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """Return a frame in which one feature is the target, and the importances of its features."""
    noise = RNG.uniform(size=N).astype(np.float32)
    frame = pd.DataFrame({"noise": noise, "self": TRUTH.astype(np.float32), "still": 1.0})

    def predict(given: pd.DataFrame) -> Prediction:
        positive = given[prediction_from].to_numpy()
        return Prediction(
            labels=(positive > 0.5).astype(int), scores=np.column_stack([1 - positive, positive])
        )

    return frame, importances(frame, TRUTH, predict, metric="log_loss", seed=0)


def test_a_feature_that_is_the_target_matters_most_and_the_others_nothing() -> None:
    _, found = knowing_frame("self")
    assert [entry["feature"] for entry in found] == ["self", "noise", "still"]
    assert found[0]["loss"] == pytest.approx(8, abs=2)  # half of the shuffled rows cost 16 nats
    assert [entry["loss"] for entry in found[1:]] == [0, 0]


def test_of_very_many_features_the_ones_that_matter_are_found_in_bounded_work() -> None:
    noise = RNG.uniform(size=(N, 1_500)).astype(np.float32)
    frame = pd.DataFrame(noise, columns=[f"f{n}" for n in range(1_500)])
    frame["f777"] = TRUTH.astype(np.float32)
    asked = []

    def predict(given: pd.DataFrame) -> Prediction:
        asked.append(len(given))
        positive = given["f777"].to_numpy()
        return Prediction(
            labels=(positive > 0.5).astype(int), scores=np.column_stack([1 - positive, positive])
        )

    found = importances(frame, TRUTH, predict, metric="log_loss", seed=0)
    assert found[0]["feature"] == "f777"
    assert (len(found), len(asked)) == (MOST, 1 + BLOCKS + MOST * REPEATS)


def test_shuffling_leaves_the_frame_as_it_was() -> None:
    frame, _ = knowing_frame("self")
    assert (frame["self"] == TRUTH).all()


def test_what_evaluation_finds_is_plain_json() -> None:
    found = evaluate(TRUTH, {"a": classifier(0.3), "b": classifier(0.2)}, ["brier"], seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    _, listed = knowing_frame("noise")
    assert json.loads(json.dumps(listed, allow_nan=False)) == listed
