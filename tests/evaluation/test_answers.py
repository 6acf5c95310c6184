"""What the test split was answered → what the answers of a service are compared with."""

from typing import Any

import numpy as np
import pytest

from treeline.artifact import Prediction
from treeline.evaluation.answers import answers

RNG = np.random.default_rng(0)


def test_probabilities_are_counted_by_decile_and_by_what_came_true() -> None:
    positive = RNG.random(1000)
    truth = (RNG.random(1000) < positive).astype(int)
    scores = np.column_stack([1 - positive, positive])
    found = answers(truth, Prediction(labels=(positive > 0.5).astype(int), scores=scores), 2)
    assert found["rows"] == sum(found["labels"]) == 1000
    assert found["labels"][1] == np.sum(positive > 0.5)
    assert found["scores"]["counts"] == [100] * 10
    calibration: Any = found["calibration"]
    assert sum(calibration["rows"]) == 1000
    assert sum(calibration["hits"]) == truth.sum()
    rates = np.divide(calibration["hits"], calibration["rows"])
    assert rates == pytest.approx(calibration["told"], abs=0.15)


def test_of_many_classes_the_predicted_one_counts() -> None:
    scores = RNG.dirichlet([1, 1, 1], 300)
    labels = scores.argmax(axis=1)
    found: Any = answers(labels, Prediction(labels=labels, scores=scores), 3)
    assert found["calibration"]["hits"] == found["calibration"]["rows"]
    assert found["calibration"]["rows"][:3] == [0, 0, 0]  # the likeliest of three is above 1/3


def test_of_a_regression_the_errors_are_what_is_compared() -> None:
    truth = RNG.normal(size=500)
    found = answers(truth, Prediction(values=truth + 2), 0)
    assert found["calibration"] == {"rows": 500, "bias": 2.0, "deviation": pytest.approx(0)}
    assert "labels" not in found


def test_labels_alone_have_no_scores() -> None:
    found = answers(np.array([0, 1]), Prediction(labels=np.array([1, 1])), 2)
    assert found == {"rows": 2, "labels": [0, 2]}
