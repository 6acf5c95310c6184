"""Scores against scikit-learn, scipy and cases counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as library

from treeline.artifact import Prediction
from treeline.config.metrics import METRICS, metrics_of
from treeline.evaluation import metrics

TRUTH = np.array([0, 0, 1, 1, 1, 0, 1, 0])
POSITIVE = np.array([0.1, 0.4, 0.35, 0.8, 0.9, 0.35, 0.6, 0.2])
SCORES = np.column_stack([1 - POSITIVE, POSITIVE])
LABELS = (POSITIVE >= 0.5).astype(int)


def drawn(classes: int, *, n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and float32 probabilities that know a little of them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    scores = rng.dirichlet(np.ones(classes), n) + 0.3 * np.eye(classes)[truth]
    return truth, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def test_cases_counted_by_hand() -> None:
    found = metrics.score(TRUTH, Prediction(labels=LABELS, scores=SCORES), metrics_of("binary"))
    assert found == {
        "accuracy": 7 / 8,
        "f1": pytest.approx(6 / 7),  # 3 found of 4, all of them right
        "roc_auc": 14.5 / 16,  # of 16 pairs one is the wrong way round, and one is a draw
        "average_precision": pytest.approx(11 / 12),  # the lowest one has two zeros beside it
        "ks": 0.75,  # at 0.4 all zeros are passed and one of the four ones
        "log_loss": pytest.approx(
            -np.log([0.9, 0.6, 0.35, 0.8, 0.9, 0.65, 0.6, 0.8]).mean(), rel=1e-12
        ),
        "brier": pytest.approx(
            np.square([0.1, 0.4, 0.65, 0.2, 0.1, 0.35, 0.4, 0.2]).mean(), rel=1e-12
        ),
    }


def test_values_counted_by_hand() -> None:
    truth, values = np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 5.0])
    found = metrics.score(truth, Prediction(values=values), metrics_of("regression"))
    assert found == {
        "rmse": pytest.approx(np.sqrt(5 / 3)),
        "mae": 1.0,
        "r2": pytest.approx(1 - 5 / 14),
    }


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_those_of_scikit_learn(classes: int) -> None:
    truth, scores = drawn(classes)
    labels = scores.argmax(axis=1)
    average = "binary" if classes == 2 else "macro"
    exact = scores.astype(float)
    positive = scores[:, 1] if classes == 2 else scores / scores.sum(axis=1, keepdims=True)
    assert metrics.score(
        truth,
        Prediction(labels=labels, scores=scores),
        ["accuracy", "f1", "roc_auc", "average_precision", "log_loss"],
    ) == {
        "accuracy": library.accuracy_score(truth, labels),
        "f1": library.f1_score(truth, labels, average=average),
        "roc_auc": library.roc_auc_score(truth, positive, multi_class="ovr"),
        "average_precision": pytest.approx(
            library.average_precision_score(truth, positive)
            if classes == 2
            else library.average_precision_score(np.eye(classes)[truth], positive)
        ),
        "log_loss": pytest.approx(
            library.log_loss(truth, exact / exact.sum(axis=1, keepdims=True)), rel=1e-6
        ),
    }


def test_brier_is_that_of_scikit_learn_for_two_classes_and_summed_beyond() -> None:
    truth, scores = drawn(2)
    assert metrics.brier(truth, scores) == pytest.approx(
        library.brier_score_loss(truth, scores[:, 1]), rel=1e-6
    )
    certain_and_wrong = np.array([[0.0, 1.0, 0.0]])
    assert metrics.brier(np.array([0]), certain_and_wrong) == 2


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2
    ).filter(lambda rows: len({truth for truth, _ in rows}) == 2)
)
def test_ks_is_the_largest_gap_over_all_thresholds(rows: list[tuple[bool, float]]) -> None:
    truth = np.array([int(one) for one, _ in rows])
    positive = np.array([score for _, score in rows])
    gaps = [
        abs((positive[truth == 1] <= limit).mean() - (positive[truth == 0] <= limit).mean())
        for limit in positive
    ]
    found = metrics.ks(truth, np.column_stack([1 - positive, positive]))
    assert found == pytest.approx(max(gaps))


def test_ks_is_that_of_scipy() -> None:
    truth, scores = drawn(2)
    found = stats.ks_2samp(scores[truth == 1, 1], scores[truth == 0, 1])
    assert metrics.ks(truth, scores) == pytest.approx(found.statistic, rel=1e-12)


def test_a_sure_and_wrong_answer_costs_much_but_not_infinitely() -> None:
    loss = metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]]))
    assert 10 < loss < 20


def test_without_probabilities_their_metrics_are_left_out() -> None:
    found = metrics.score(TRUTH, Prediction(labels=LABELS), metrics_of("binary"))
    assert list(found) == ["accuracy", "f1"]


@pytest.mark.parametrize("percent", [1, 10, 50, 90, 99])
def test_the_loss_of_a_quantile_is_that_of_scikit_learn(percent: int) -> None:
    truth, values = np.random.default_rng(0).normal(size=(2, 50))
    name = f"pinball_{percent}"
    assert metrics.score(truth, Prediction(values=values), [name]) == {
        name: pytest.approx(library.mean_pinball_loss(truth, values, alpha=percent / 100))
    }


def test_quantiles_are_metrics_where_they_are_declared() -> None:
    assert "pinball_90" not in metrics_of("regression")
    assert "pinball_90" in metrics_of("regression", "rmse", "pinball_90")
    assert "pinball_90" not in metrics_of("binary", "pinball_90")
    for name in ("pinball_0", "pinball_100", "pinball_9.5", "pinball"):
        assert name not in metrics_of("regression", name)
        with pytest.raises(KeyError):
            METRICS[name]


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_prediction_is_better_than_a_poor_one(name: str) -> None:
    metric = METRICS[name]
    truth = TRUTH.astype(float) if metric.judges == "values" else TRUTH
    good = Prediction(labels=truth, scores=np.eye(2)[TRUTH], values=truth)
    poor = Prediction(labels=1 - truth, scores=np.eye(2)[1 - TRUTH] * 0.5 + 0.25, values=1 - truth)
    if name == "ks":  # which does not mind the direction
        poor = Prediction(scores=np.full((8, 2), 0.5))
    best, worst = (metrics.score(truth, given_, [name])[name] for given_ in (good, poor))
    assert metric.sign * best > metric.sign * worst


@pytest.mark.parametrize("name", METRICS)
def test_every_score_is_a_plain_float(name: str) -> None:
    truth = TRUTH.astype(float) if METRICS[name].judges == "values" else TRUTH
    prediction = Prediction(labels=LABELS, scores=SCORES.astype(np.float32), values=POSITIVE)
    assert type(metrics.score(truth, prediction, [name])[name]) is float
