"""The influence of rows is the derivative of the metric, and its deviation that of resamples."""

from typing import Any

import numpy as np
import pytest

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS, metrics_of
from treeline.evaluation.influence import INFLUENCES, influence
from treeline.evaluation.metrics import score

N, COPIES = 60, 400
NAMES = [*METRICS, "pinball_90"]
CASES = [(name, 2) for name in NAMES]
CASES += [(name, 3) for name in NAMES if "multiclass" in METRICS[name].tasks]


def drawn(name: str, classes: int, n: int, *, seed: int = 0) -> tuple[Any, Prediction]:
    """Return truth and a prediction with ties, which knows a little of the truth."""
    rng = np.random.default_rng(seed)
    if METRICS[name].judges == "values":
        values = rng.standard_t(4, size=n)
        return values, Prediction(values=values + rng.normal(size=n))
    truth = np.arange(n) % classes
    weight = np.round(rng.dirichlet(np.ones(classes), n) + 0.3 * np.eye(classes)[truth], 1) + 0.05
    scores = weight / weight.sum(axis=1, keepdims=True)
    return truth, Prediction(labels=scores.argmax(axis=1), scores=scores)


def taken(prediction: Prediction, rows: Any) -> Prediction:
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else part[rows] for part in parts))


def influences(name: str, truth: Any, prediction: Prediction) -> Any:
    return influence(name, truth, getattr(prediction, METRICS[name].judges))


def test_every_metric_has_one() -> None:
    assert list(INFLUENCES) == list(METRICS)


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_the_influence_of_a_row_is_the_derivative_by_its_weight(name: str, classes: int) -> None:
    """A row once more among COPIES of all of them weighs a little more than the others."""
    truth, prediction = drawn(name, classes, N)
    found = influences(name, truth, prediction)
    value = score(truth, prediction, [name])[name]
    assert found.mean() == pytest.approx(0, abs=1e-12)
    many = np.tile(np.arange(N), COPIES)
    for row in range(0, N, 7):
        rows = np.append(many, row)
        moved = score(truth[rows], taken(prediction, rows), [name])[name]
        assert (moved - value) * len(rows) == pytest.approx(found[row], rel=0.03, abs=0.01)


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_its_deviation_is_that_of_a_bootstrap(name: str, classes: int) -> None:
    n, resamples = 600, 400
    truth, prediction = drawn(name, classes, n, seed=1)
    rng = np.random.default_rng(2)
    draws = []
    for _ in range(resamples):
        rows = rng.integers(0, n, n)
        draws.append(score(truth[rows], taken(prediction, rows), [name])[name])
    expected = influences(name, truth, prediction).std() / np.sqrt(n)
    assert expected == pytest.approx(np.std(draws), rel=0.2 if name == "ks" else 0.12)


def test_a_metric_that_the_rows_do_not_define_has_none() -> None:
    truth, scores = np.zeros(5, dtype=int), np.full((5, 2), 0.5)
    for name in ("roc_auc", "ks", "average_precision"):
        assert np.isnan(influence(name, truth, scores)).all()
    assert np.isnan(influence("r2", np.ones(5), np.zeros(5))).all()


def test_a_perfect_prediction_moves_with_no_row() -> None:
    truth = np.tile([0, 1], 20)
    for name in metrics_of("binary"):
        judged = truth if METRICS[name].judges == "labels" else np.eye(2)[truth]
        assert influence(name, truth, judged) == pytest.approx(0, abs=1e-12)
