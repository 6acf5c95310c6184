"""The trainer `compare`: all suitable estimators tried, the best few tuned, failures told."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import all_estimators

from treeline.artifact import Prediction
from treeline.config.models import Candidate, ModelSpec, Search
from treeline.contract.features import Feature
from treeline.errors import TrainingError
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.compare import (
    EXCLUDED,
    MOST_ROWS,
    RANGES,
    CompareTrainer,
    candidate_of,
    contenders,
    ranges_of,
)
from treeline.trainers.contest import training_set

PLACE = "models.seedlings.candidates.auto"
N = 90


def features(*, nullable: bool = False) -> dict[str, Feature]:
    return {
        "light": Feature(type="number", nullable=nullable),
        "height": Feature(type="number"),
        "species": Feature(type="category", categories=("Acer", "Quercus")),
    }


def training(task: str) -> TrainingSet:
    """Return rows in three folds, where light decides and the species helps."""
    rng = np.random.default_rng(0)
    light, species = rng.uniform(size=N), rng.integers(0, 2, N)
    score = light + 0.3 * species + 0.1 * rng.normal(size=N) - 0.6
    rows = pd.DataFrame(
        {
            "light": light,
            "height": rng.normal(100, 30, N),
            "species": pd.Series(np.array(["Acer", "Quercus"])[species], dtype="str"),
            "binary": (score < 0).astype(float),
            "regression": score,
        }
    )
    spec = ModelSpec.model_validate(
        {
            "source": {"kind": "library", "dataset": "iris"},
            "target": {"name": task, "task": task, "positive": 1 if task == "binary" else None},
            "features": {name: each.model_dump() for name, each in features().items()},
            "split": {},
            "candidates": {"auto": {"trainer": "compare"}},
            "search": {"folds": 3},
            "champion": {"metric": "roc_auc" if task == "binary" else "rmse"},
            "gate": {},
        }
    )
    return training_set(rows, spec, [0.0, 1.0] if task == "binary" else None)


def fit(task: str, *, strategy: str = "grid", metric: str | None = None, **options: Any) -> Fitted:
    return CompareTrainer().fit(
        training(task),
        candidate=Candidate.model_validate({"trainer": "compare", "options": options}),
        search=Search.model_validate({"folds": 3, "strategy": strategy}),
        metric=metric or ("roc_auc" if task == "binary" else "rmse"),
        place=PLACE,
    )


def all_but(task: str, *names: str) -> list[str]:
    """Return the names of everything that would be tried, except for some."""
    found = {made.__name__ for made in contenders(task, scores=task == "binary").values()}  # type: ignore[arg-type]
    return sorted(found - set(names))


@pytest.fixture(scope="module")
def values() -> Fitted:
    """Return what was found among all regressors."""
    return fit("regression", tune=2, trials=2)


def test_all_are_tried_with_their_defaults_and_the_best_few_tuned(values: Fitted) -> None:
    tried = pd.Series([t.hyperparameters["estimator"] for t in values.trials])
    counts = tried.value_counts()
    assert {"sklearn.linear_model.Ridge", "xgboost.XGBRegressor", "sklearn.svm.SVR"} < set(tried)
    assert len(counts) > 25
    assert sorted(counts.unique()) == [1, 3]
    assert (counts == 3).sum() == 2


def test_the_best_trial_of_all_wins_and_is_fitted(values: Fitted) -> None:
    errors = [np.mean(trial.folds["rmse"]) for trial in values.trials]
    assert np.mean(values.best.folds["rmse"]) == min(errors) < 0.15
    assert values.best.hyperparameters["estimator"] == values.chosen
    assert values.estimator[-1].__class__.__name__ == str(values.chosen).rpartition(".")[2]
    found: Prediction = CompareTrainer().predict(values.estimator, training("regression").frame)
    assert found.values is not None and found.values.shape == (N,)


def test_what_fails_is_left_out_with_its_reason(values: Fitted) -> None:
    for name in ("GammaRegressor", "PoissonRegressor"):  # the target has negative values
        reason = values.left_out[f"sklearn.linear_model.{name}"]
        assert reason.startswith("ValueError: Some value(s) of y are out of the valid range")


def test_the_trials_are_plain_data(values: Fitted) -> None:
    settings = [trial.hyperparameters for trial in values.trials]
    assert json.loads(json.dumps(settings, allow_nan=False))


def test_what_is_excluded_is_not_tried_and_twice_is_the_same() -> None:
    kept = ("GaussianNB", "LogisticRegression", "RandomForestClassifier")
    one, two = (fit("binary", exclude=all_but("binary", *kept), trials=2) for _ in range(2))
    assert {str(trial.hyperparameters["estimator"]).rpartition(".")[2] for trial in one.trials} == {
        *kept
    }
    assert (one.trials, one.chosen) == (two.trials, two.chosen)
    assert np.mean(one.best.folds["roc_auc"]) > 0.85


def test_an_unknown_name_to_exclude_is_told() -> None:
    with pytest.raises(TrainingError) as error:
        fit("binary", exclude=["XGBoost"])
    assert str(error.value).startswith(f"{PLACE}.options.exclude: 'XGBoost' would not be tried")
    assert "XGBClassifier" in str(error.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tuned": 3}, "tuned: not a known key"),
        ({"tune": -1}, "tune: should be greater than or equal to 0"),
        ({"exclude": "SVC"}, "exclude: should be a list"),
    ],
)
def test_a_wrong_option_is_told_when_it_is_declared(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Candidate.model_validate({"trainer": "compare", "options": options})


def test_what_takes_too_long_is_left_out_and_with_nothing_left_it_fails() -> None:
    slow = all_but("binary", "LogisticRegression")
    with pytest.raises(TrainingError) as error:
        fit("binary", exclude=slow, seconds_each=0.001)
    assert "no estimator could be tried" in str(error.value)
    assert "LogisticRegression: TimeoutError: it took longer than 0.001 seconds" in str(error.value)
    found = fit("binary", exclude=slow, seconds_each=60, tune=0)
    assert found.chosen == "sklearn.linear_model.LogisticRegression"


def test_only_those_with_probabilities_are_judged_by_a_metric_of_probabilities() -> None:
    scored, labelled = (set(contenders("binary", scores=scores)) for scores in (True, False))
    assert "sklearn.svm.LinearSVC" in labelled - scored
    assert scored < labelled


def test_no_tree_sees_a_scaled_number_and_all_others_do() -> None:
    of = contenders("binary", scores=True)
    given = Candidate(trainer="compare")
    for path, made in of.items():
        found = candidate_of(path, made, features(), given)
        trees = path.startswith(("sklearn.ensemble", "sklearn.tree", "xgboost", "lightgbm"))
        scaled = [step.class_path.rpartition(".")[2] for step in found.numbers]
        assert (found.categories, scaled) == (
            ("codes", []) if trees else ("onehot", ["StandardScaler"])
        )


def test_missing_values_are_filled_for_those_who_take_none() -> None:
    of, given = contenders("binary", scores=True), Candidate(trainer="compare")

    def steps(path: str, candidate: Candidate = given) -> list[str]:
        found = candidate_of(path, of[path], features(nullable=True), candidate)
        return [step.class_path.rpartition(".")[2] for step in found.numbers]

    assert steps("xgboost.XGBClassifier") == []
    assert steps("sklearn.ensemble.AdaBoostClassifier") == ["SimpleImputer"]
    logistic = "sklearn.linear_model.LogisticRegression"
    assert steps(logistic) == ["SimpleImputer", "StandardScaler"]
    own = Candidate.model_validate(
        {"trainer": "compare", "numbers": "sklearn.preprocessing.RobustScaler"}
    )
    assert steps(logistic, own) == ["RobustScaler"]


def test_the_tables_name_what_there_is() -> None:
    known = {name for name, _ in all_estimators()}
    assert {name for names in EXCLUDED.values() for name in names} <= known
    assert set(MOST_ROWS) <= known
    used = set()
    for made in (
        *contenders("binary", scores=False).values(),
        *contenders("regression", scores=False).values(),
    ):
        assert set(ranges_of(made)) <= set(made().get_params()), made.__name__
        used |= {id(ranges_of(made))}
    unused = {name for name, ranges in RANGES.items() if id(ranges) not in used}
    assert unused <= {"LGBM"}, "which may not be installed"
