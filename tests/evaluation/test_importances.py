"""How much a metric worsens when a feature is shuffled."""

import json

import numpy as np
import pandas as pd
import pytest

from treeline.artifact import Prediction
from treeline.evaluation.diagnostics import BLOCKS, MOST, REPEATS, importances
from treeline.records.evaluation import Importance

N = 120
RNG = np.random.default_rng(0)
TRUTH = np.tile([0, 1], N // 2)


def knowing_frame(prediction_from: str) -> tuple[pd.DataFrame, list[Importance]]:
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


def test_importances_are_plain_json() -> None:
    _, listed = knowing_frame("noise")
    assert json.loads(json.dumps(listed, allow_nan=False)) == listed
