"""The scikit-learn trainer: any class with fit and predict → the best setting, fitted."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.own_classes import load_as_own
from treeline.config.models import Candidate, ModelSpec, Search
from treeline.contract.features import Feature
from treeline.errors import TrainingError, UnknownNameError
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.contest import training_set
from treeline.trainers.sklearn import SklearnTrainer

N = 90
PLACE = "models.seedlings.candidates.one"
FEW_TREES = {
    "sklearn.ensemble.GradientBoostingRegressor": {"n_estimators": 20},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 10},
    "xgboost.XGBClassifier": {"n_estimators": 10},
}
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}

OWN_CODE = '''
"""Classes of the user's own, in src/own."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


class Doubled(TransformerMixin, BaseEstimator):
    """Adds a column that is twice another."""

    def __init__(self, column, factor=2):
        self.column = column
        self.factor = factor

    def fit(self, frame, target=None):
        self.seen_ = list(frame.columns)
        return self

    def transform(self, frame):
        return frame.assign(doubled=frame[self.column] * self.factor)


class Guess(ClassifierMixin, BaseEstimator):
    """Gives labels and no probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.limit_ = X[:, 0].mean()
        return self

    def predict(self, X):
        return (X[:, 0] < self.limit_).astype(int)


class Counter(Guess):
    """Remembers how many columns it got, and of which type."""

    def fit(self, X, y):
        self.got_ = (X.shape[1], str(X.dtype))
        return super().fit(X, y)


class Plain:
    """Is no class of scikit-learn's at all."""

    def __init__(self, limit=0.5):
        self.limit = limit

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (X[:, 0] < self.limit).astype(int)


class PlainStep:
    """A step that knows nothing of scikit-learn."""

    def fit(self, frame, target=None):
        return self

    def transform(self, frame):
        return frame.fillna(0)


class Fragile(Guess):
    """Fails."""

    def fit(self, X, y):
        raise RuntimeError("out of luck")
'''


def rows(*, missing: bool = False) -> pd.DataFrame:
    """Return prepared rows: light decides, the species helps, groups of six."""
    rng = np.random.default_rng(0)
    light = rng.uniform(size=N)
    species = rng.integers(0, 2, N)
    score = light + 0.3 * species + 0.1 * rng.normal(size=N)
    return pd.DataFrame(
        {
            "light": np.where(np.arange(N) % 9 == 0, np.nan, light) if missing else light,
            "species": pd.Series(np.array(["Acer", "Quercus"])[species], dtype="str"),
            "plot": np.arange(N) // 6,
            "binary": (score < 0.6).astype(float),
            "word": np.where(score < 0.6, "dead", "alive"),
            "multiclass": np.digitize(score, [0.4, 0.8]).astype(float),
            "regression": score,
        }
    )


def declared(target: dict[str, Any], *, group: str | None = None) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "source": {"kind": "library", "dataset": "iris", "columns": {"plot": "integer"}},
            "target": target,
            "features": {
                "light": {"type": "number", "nullable": True},
                "species": {"type": "category", "categories": ["Acer", "Quercus"]},
            },
            "split": {"group": group},
            "candidates": {"one": {"estimator": "unused"}},
            "search": {"folds": 3},
            "champion": {"metric": METRIC[target["task"]]},
            "gate": {},
        }
    )


def training(task: str = "binary", *, missing: bool = False) -> TrainingSet:
    """Return the training set of a task, split into three folds by plot."""
    target: dict[str, Any] = {"name": task, "task": task}
    frame = rows(missing=missing)
    if task == "binary":
        target["positive"] = 1
    classes = None if task == "regression" else sorted(frame[task].unique())
    return training_set(frame, declared(target, group="plot"), classes)


def fit(
    estimator: str,
    given: TrainingSet | None = None,
    *,
    search: dict[str, Any] | None = None,
    over: dict[str, Any] | None = None,
    metric: str | None = None,
    **candidate: Any,
) -> Fitted:
    """Fit a candidate, searching `over` hyperparameters in the way `search` says."""
    given = given or training()
    block = {"estimator": estimator, "search": over or {}} | candidate
    return SklearnTrainer().fit(
        given,
        candidate=Candidate.model_validate(block),
        search=Search.model_validate({"folds": 3} | (search or {})),
        metric=metric or METRIC[given.task],
        place=PLACE,
    )


def refusal(estimator: str, given: TrainingSet | None = None, **declared_: Any) -> str:
    with pytest.raises(TrainingError) as error:
        fit(estimator, given, **declared_)
    return str(error.value)


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Return the name of a module with classes of the user's own."""
    (tmp_path / "seedling_steps.py").write_text(OWN_CODE)
    return load_as_own(tmp_path / "seedling_steps.py")


@pytest.mark.parametrize(
    ("task", "estimator", "bound"),
    [
        ("binary", "sklearn.linear_model.LogisticRegression", 0.9),
        ("binary", "xgboost.XGBClassifier", 0.8),
        ("multiclass", "sklearn.ensemble.RandomForestClassifier", -1.2),
        ("multiclass", "sklearn.linear_model.LogisticRegression", -0.9),
        ("regression", "sklearn.linear_model.Ridge", -0.2),
        ("regression", "sklearn.ensemble.GradientBoostingRegressor", -0.3),
    ],
)
def test_a_candidate_of_any_task_learns(task: str, estimator: str, bound: float) -> None:
    sign = 1 if task == "binary" else -1
    fitted = fit(estimator, training(task), options=FEW_TREES.get(estimator, {}))
    folds = fitted.best.folds[METRIC[task]]
    assert len(folds) == 3
    assert sign * np.mean(folds) > bound


def test_a_regression_gives_values_and_a_classifier_codes_and_probabilities() -> None:
    trainer, values, classes = SklearnTrainer(), training("regression"), training("multiclass")
    ridge = fit("sklearn.linear_model.Ridge", values).estimator
    logistic = fit("sklearn.linear_model.LogisticRegression", classes).estimator
    value, code = trainer.predict(ridge, values.frame), trainer.predict(logistic, classes.frame)
    assert value.values is not None and value.labels is None and value.scores is None
    assert code.labels is not None and code.scores is not None and code.values is None
    assert set(code.labels) <= {0, 1, 2}
    assert code.scores.shape == (N, 3)
    assert value.values.shape == (N,)


def test_a_target_of_words_is_learnt_in_the_order_of_its_classes() -> None:
    spec = declared({"name": "word", "task": "binary", "positive": "dead"})
    given = training_set(rows(), spec, ["alive", "dead"])
    fitted = fit("sklearn.linear_model.LogisticRegression", given)
    prediction = SklearnTrainer().predict(fitted.estimator, given.frame)
    assert prediction.scores is not None
    dead = (rows()["word"] == "dead").to_numpy()
    assert prediction.scores[dead, 1].mean() > 0.6
    assert prediction.scores[~dead, 1].mean() < 0.4


@pytest.mark.parametrize("prepared", [{}, {"categories": "codes"}], ids=["one-hot", "codes"])
@pytest.mark.parametrize(
    "estimator", ["sklearn.linear_model.LogisticRegression", "xgboost.XGBClassifier"]
)
def test_a_fitted_pipeline_reads_a_frame_by_the_names_of_its_columns(
    estimator: str, prepared: dict[str, Any]
) -> None:
    given = training("binary")
    fitted = fit(estimator, given, options=FEW_TREES.get(estimator, {}), **prepared).estimator
    expected = fitted.predict_proba(given.frame)
    turned = given.frame[given.frame.columns[::-1]].assign(besides=7.0)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(turned), expected)
    np.testing.assert_array_equal(again.predict_proba(given.frame.to_numpy()), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop(columns="light"),
        lambda frame: frame.rename(columns={"light": "Light"}),
        lambda frame: pd.concat([frame, frame[["light"]]], axis="columns"),
    ],
    ids=["missing", "misspelt", "twice"],
)
def test_a_frame_without_a_feature_is_refused_by_its_name(change: Any) -> None:
    given = training("binary")
    fitted = fit("sklearn.linear_model.LogisticRegression", given).estimator
    with pytest.raises(ValueError, match="the frame needs the column 'light' once"):
        fitted.predict(change(given.frame))


TREE = "sklearn.tree.DecisionTreeRegressor"


def tree(strategy: str, *, trials: int = 4, **over: Any) -> Fitted:
    """Fit a regression tree, searched over the given hyperparameters."""
    search = {"strategy": strategy, "trials": trials}
    return fit(TREE, training("regression"), search=search, over=over)


def test_a_grid_is_walked_whole_and_the_best_setting_is_fitted() -> None:
    found = tree("grid", max_depth=[1, 3], min_samples_leaf=[1, 5, 60])
    assert len(found.trials) == 6
    errors = [np.mean(trial.folds["rmse"]) for trial in found.trials]
    assert np.mean(found.best.folds["rmse"]) == min(errors)
    fitted_with = found.estimator[-1].get_params()
    assert found.best.hyperparameters.items() <= fitted_with.items()


def test_a_random_search_draws_as_often_as_declared_within_its_ranges() -> None:
    over: dict[str, Any] = {
        "max_depth": {"low": 1, "high": 4, "integer": True},
        "ccp_alpha": {"low": 1e-4, "high": 1e-2, "log": True},
        "min_weight_fraction_leaf": {"low": 0, "high": 0.1},
        "splitter": ["best", "random"],
    }
    found = tree("random", **over)
    assert len(found.trials) == 4
    for trial in found.trials:
        assert trial.hyperparameters["max_depth"] in (1, 2, 3, 4)
        assert 1e-4 <= trial.hyperparameters["ccp_alpha"] <= 1e-2
        assert 0 <= trial.hyperparameters["min_weight_fraction_leaf"] <= 0.1
    assert found.trials == tree("random", **over).trials


def test_a_random_search_over_a_short_list_tries_it_whole() -> None:
    found = tree("random", trials=10, max_depth=[1, 2, 3])
    assert [trial.hyperparameters["max_depth"] for trial in found.trials] == [1, 2, 3]


def test_halving_ends_with_one_setting_judged_on_every_fold() -> None:
    found = tree("halving", trials=6, max_depth={"low": 1, "high": 6, "integer": True})
    assert len(found.trials) == 1
    assert len(found.best.folds["rmse"]) == 3
    assert found.best.hyperparameters["max_depth"] in range(1, 7)


def test_halving_over_a_classifier_is_judged_by_its_probabilities() -> None:
    found = fit(
        "sklearn.linear_model.LogisticRegression",
        search={"strategy": "halving", "trials": 4},
        over={"C": {"low": 0.1, "high": 10, "log": True}},
    )
    assert 0.1 <= found.best.hyperparameters["C"] <= 10


def test_halving_without_a_search_is_one_trial() -> None:
    assert len(tree("halving").trials) == 1


def test_categories_are_one_hot_or_codes_as_declared(own: str) -> None:
    onehot = fit(f"{own}.Counter", metric="f1").estimator
    codes = fit(f"{own}.Counter", metric="f1", categories="codes").estimator
    assert onehot[-1].got_ == (3, "float32")
    assert codes[-1].got_ == (2, "float32")


def test_a_preprocessor_of_the_users_own_sees_named_columns(own: str) -> None:
    steps = {"class": f"{own}.Doubled", "options": {"column": "light", "factor": 3}}
    fitted = fit(f"{own}.Counter", metric="f1", preprocessors=steps).estimator
    assert fitted[1].seen_ == ["light", "species"]
    assert fitted[-1].got_ == (4, "float32")


def test_columns_are_kept_by_name() -> None:
    steps = {
        "class": "treeline.trainers.preprocessors.KeepColumns",
        "options": {"columns": ["species"]},
    }
    fitted = fit("sklearn.linear_model.LogisticRegression", preprocessors=steps).estimator
    assert fitted[-1].n_features_in_ == 2


def test_a_column_to_keep_that_does_not_exist_is_told() -> None:
    steps = {
        "class": "treeline.trainers.preprocessors.DropColumns",
        "options": {"columns": ["specis"]},
    }
    told = refusal("sklearn.linear_model.LogisticRegression", preprocessors=steps)
    assert "DropColumns: 'specis' is no column here; there are light, species" in told


def test_an_estimator_without_probabilities_is_judged_by_its_labels(own: str) -> None:
    fitted = fit(f"{own}.Guess", metric="accuracy")
    assert list(fitted.best.folds) == ["accuracy", "f1"]
    assert SklearnTrainer().predict(fitted.estimator, training().frame).scores is None


def test_a_step_that_is_no_class_of_scikit_learn_is_taken(own: str) -> None:
    fitted = fit(f"{own}.Guess", metric="f1", preprocessors=f"{own}.PlainStep")
    assert np.mean(fitted.best.folds["f1"]) > 0.7


def test_an_estimator_that_is_no_class_of_scikit_learn_is_taken(own: str) -> None:
    fitted = fit(f"{own}.Plain", metric="f1", options={"limit": 0.55})
    assert np.mean(fitted.best.folds["f1"]) > 0.7


@pytest.mark.parametrize("strategy", ["grid", "random", "halving"])
def test_probabilities_that_an_estimator_cannot_give_are_told(strategy: str) -> None:
    over = {"C": [0.1, 1]}
    told = refusal("sklearn.svm.LinearSVC", search={"strategy": strategy}, over=over)
    assert told.startswith(f"{PLACE}: the champion metric roc_auc needs probabilities")
    assert "choose a metric of labels" in told


def test_a_misspelt_hyperparameter_is_told_beside_those_there_are() -> None:
    told = refusal("sklearn.linear_model.LogisticRegression", over={"c": [1]})
    assert told.startswith(
        f"{PLACE}.search: sklearn.linear_model.LogisticRegression takes no 'c'; it takes C, class"
    )


def test_a_misspelt_option_is_told() -> None:
    told = refusal("sklearn.linear_model.LogisticRegression", options={"c": 1})
    assert told.startswith(f"{PLACE}.estimator: sklearn.linear_model.LogisticRegression cannot be")
    assert "unexpected keyword argument 'c'" in told


def test_an_estimator_that_cannot_be_imported_is_told() -> None:
    with pytest.raises(UnknownNameError) as error:
        fit("sklearn.linear_model.LogisticRegresion")
    assert str(error.value).startswith(f"{PLACE}.estimator: 'sklearn.linear_model.LogisticRegres")


def test_an_estimator_that_fails_is_told_with_its_place(own: str) -> None:
    assert refusal(f"{own}.Fragile", metric="f1") == (
        f"{PLACE}: {own}.Fragile failed: RuntimeError: out of luck"
    )


def test_a_value_that_an_estimator_refuses_is_told_with_its_place() -> None:
    told = refusal("sklearn.linear_model.LogisticRegression", options={"C": -1})
    assert told.startswith(f"{PLACE}: sklearn.linear_model.LogisticRegression failed: Invalid")


def test_a_missing_value_that_an_estimator_cannot_take_is_told_with_its_place() -> None:
    told = refusal("sklearn.linear_model.LogisticRegression", training(missing=True))
    assert told.startswith(f"{PLACE}: sklearn.linear_model.LogisticRegression failed: ValueError:")
    assert "contains NaN" in told


def test_a_missing_value_reaches_an_estimator_that_takes_it() -> None:
    estimator = "xgboost.XGBClassifier"
    fitted = fit(estimator, training(missing=True), options=FEW_TREES[estimator])
    assert np.mean(fitted.best.folds["roc_auc"]) > 0.7


def test_numbers_pass_their_own_steps() -> None:
    fitted = fit(
        "sklearn.linear_model.LogisticRegression",
        training(missing=True),
        numbers=[
            {"class": "sklearn.impute.SimpleImputer", "options": {"strategy": "median"}},
            "sklearn.preprocessing.StandardScaler",
        ],
    )
    assert np.mean(fitted.best.folds["roc_auc"]) > 0.8


@pytest.mark.parametrize(
    "estimator",
    [
        "sklearn.linear_model.LogisticRegression",
        "sklearn.ensemble.RandomForestClassifier",
        "xgboost.XGBClassifier",
    ],
)
def test_the_same_declaration_gives_the_same_bytes(estimator: str) -> None:
    first, second = (
        pickle.dumps(fit(estimator, options=FEW_TREES.get(estimator, {})).estimator)
        for _ in range(2)
    )
    assert first == second


def test_a_declared_seed_of_the_estimator_stands() -> None:
    fitted = fit("sklearn.ensemble.RandomForestClassifier", options={"random_state": 7})
    assert fitted.estimator[-1].random_state == 7


def test_no_group_straddles_the_folds() -> None:
    plots = rows()["plot"].to_numpy()
    for train, test in training().folds:
        assert not set(plots[train]) & set(plots[test])


def test_more_folds_than_groups_are_told() -> None:
    spec = declared({"name": "regression", "task": "regression"}, group="plot")
    many = spec.model_copy(update={"search": Search(folds=50)})
    with pytest.raises(TrainingError, match=r"search\.folds: 50 is too many: there are 15 groups"):
        training_set(rows(), many, None)


def test_features_keep_their_codes() -> None:
    assert training().features["species"] == Feature(
        type="category", categories=("Acer", "Quercus")
    )
    assert set(training().frame["species"]) == {0.0, 1.0}
