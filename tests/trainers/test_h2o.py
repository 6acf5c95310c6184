"""The H2O trainer: AutoML of H2O, judged on the same folds as every other candidate."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.h2o_models import FEW, PLACE, N, fitted, jvms, made_up, need_java
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate, Search
from treeline.errors import EngineError, TrainingError
from treeline.evaluation.metrics import score
from treeline.trainers import Fitted

pytest.importorskip("h2o", reason="needs h2o: make setup-engines")

from treeline.artifact.h2o import shared
from treeline.trainers.h2o import H2OTrainer


@pytest.fixture(scope="module")
def first() -> Iterator[Fitted]:
    need_java()
    yield fitted(made_up())
    shared().stop()


def test_every_model_of_automl_is_a_trial_on_the_declared_folds(first: Fitted) -> None:
    names = [str(trial.hyperparameters["estimator"]) for trial in first.trials]
    assert {name.partition("_")[0] for name in names} == {
        "h2o:DRF",
        "h2o:GLM",
        "h2o:StackedEnsemble",
    }
    assert all("AutoML" not in name for name in names), "a name would differ on every run"
    for trial in first.trials:
        assert {"roc_auc", "log_loss", "ks", "accuracy"} <= set(trial.folds)
        assert {len(values) for values in trial.folds.values()} == {3}


def test_the_best_by_our_metric_is_what_is_chosen(first: Fitted) -> None:
    means = [np.mean(trial.folds["roc_auc"]) for trial in first.trials]
    assert np.mean(first.best.folds["roc_auc"]) == max(means) > 0.8
    kind = str(first.best.hyperparameters["estimator"]).removeprefix("h2o:").partition("_")[0]
    assert first.chosen == f"h2o.automl.H2OAutoML:{kind}"


def test_the_best_is_fitted_on_all_rows_and_predicts_classes_in_our_order(first: Fitted) -> None:
    training = made_up()
    found = predict(first.estimator, training.frame)
    assert found.scores is not None and found.scores.shape == (N, 2)
    assert score(training.target, found, ["roc_auc"])["roc_auc"] > 0.85
    np.testing.assert_array_equal(found.labels, found.scores.argmax(axis=1))


def test_a_number_of_models_gives_the_same_on_every_run(first: Fitted) -> None:
    again, frame = fitted(made_up()), made_up().frame
    assert again.trials == first.trials
    expected, found = (predict(each.estimator, frame).scores for each in (first, again))
    np.testing.assert_array_equal(expected, found)


def test_noise_is_not_learnt_because_rows_are_judged_by_models_that_have_not_seen_them() -> None:
    need_java()
    training = made_up("regression", noise=True)
    found = fitted(training, "rmse", models=1, exclude=["XGBoost", "GBM", "GLM", "StackedEnsemble"])
    seen = score(training.target, predict(found.estimator, training.frame), ["r2"])["r2"]
    assert np.mean(found.best.folds["r2"]) < 0.1 < seen


def test_no_jvm_is_left_behind(first: Fitted) -> None:
    assert len(jvms(os.getpid())) <= 1, "the one that predicts, if any test has asked it"


def test_without_java_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match=rf"{PLACE}: H2O needs Java 8 to 17.*JAVA_HOME"):
        fitted(made_up())


def test_steps_that_h2o_would_not_see_are_refused() -> None:
    candidate = Candidate(
        trainer="h2o", options=FEW, numbers=({"class": "sklearn.preprocessing.StandardScaler"},)
    )
    with pytest.raises(TrainingError, match=rf"{PLACE}.numbers: H2O prepares columns itself"):
        H2OTrainer().fit(
            made_up(), candidate=candidate, search=Search(), metric="roc_auc", place=PLACE
        )


@pytest.mark.parametrize(
    "options",
    [{"seconds": 5, "models": 3}, {"exclude": ["Forest"]}, {"memory": "much"}, {"minutes": 1}],
    ids=str,
)
def test_options_are_checked_where_they_are_declared(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Candidate(trainer="h2o", options=options)
