"""Optuna as a search strategy: seeded, in order, each trial judged on the declared folds."""

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from treeline.config.models import Candidate, Search
from treeline.contract.features import Feature
from treeline.errors import MissingExtraError
from treeline.preparation.encoding import encoded
from treeline.preparation.splitting import folds
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.sklearn import SklearnTrainer

pytest.importorskip("optuna", reason="needs optuna: make setup-dev")

PLACE = "models.m.candidates.one"
TREE = "sklearn.tree.DecisionTreeRegressor"
NET = "sklearn.neural_network.MLPRegressor"
N = 120


def training() -> TrainingSet:
    """Return a wave of two columns, which a tree of some depth can follow."""
    rng = np.random.default_rng(0)
    names = {"x": Feature(type="number"), "z": Feature(type="number")}
    rows = pd.DataFrame({name: rng.uniform(size=N) for name in names})
    return TrainingSet(
        frame=encoded(rows, names),
        target=np.sin(7 * rows["x"].to_numpy()) + 0.2 * rng.normal(size=N),
        features=names,
        task="regression",
        folds=folds(None, n_rows=N, groups=None, k=3, seed=0),
    )


def tree(*, strategy: str = "optuna", trials: int = 12, seed: int = 0, **over: Any) -> Fitted:
    return SklearnTrainer().fit(
        training(),
        candidate=Candidate.model_validate({"estimator": TREE, "search": over}),
        search=Search.model_validate({"strategy": strategy, "trials": trials, "seed": seed}),
        metric="rmse",
        place=PLACE,
    )


OVER: dict[str, Any] = {
    "max_depth": {"low": 1, "high": 16, "integer": True, "log": True},
    "ccp_alpha": {"low": 1e-4, "high": 1e-1, "log": True},
    "min_weight_fraction_leaf": {"low": 0, "high": 0.3},
    "splitter": ["best", "random"],
}


def test_every_trial_is_within_its_ranges_and_judged_on_every_fold() -> None:
    found = tree(**OVER)
    assert len(found.trials) == 12
    for trial in found.trials:
        setting = trial.hyperparameters
        assert isinstance(setting["max_depth"], int) and 1 <= setting["max_depth"] <= 16
        assert 1e-4 <= setting["ccp_alpha"] <= 1e-1
        assert setting["splitter"] in ("best", "random")
        assert set(trial.folds) == {"rmse", "mae", "r2"} and len(trial.folds["rmse"]) == 3
    errors = [np.mean(trial.folds["rmse"]) for trial in found.trials]
    assert np.mean(found.best.folds["rmse"]) == min(errors)
    assert found.best.hyperparameters.items() <= found.estimator[-1].get_params().items()


def test_the_same_seed_gives_the_same_trials_in_the_same_order() -> None:
    assert tree(**OVER).trials == tree(**OVER).trials
    assert tree(**OVER).trials != tree(**OVER, seed=1).trials


def test_what_earlier_trials_were_worth_moves_later_ones() -> None:
    over: dict[str, Any] = {"min_weight_fraction_leaf": {"low": 0, "high": 0.5}}
    found = [t.hyperparameters["min_weight_fraction_leaf"] for t in tree(trials=30, **over).trials]
    assert np.median(found[15:]) < 0.5 * np.median(found[:10])


def test_lists_shorter_than_the_trials_are_tried_whole() -> None:
    found = tree(max_depth=[1, 3, 5], splitter=["best"])
    assert [trial.hyperparameters["max_depth"] for trial in found.trials] == [1, 3, 5]


def test_a_setting_proposed_again_is_not_judged_again() -> None:
    found = tree(trials=8, max_depth=[1, 2, 3], min_samples_leaf=[1, 2, 3])
    settings = [tuple(trial.hyperparameters.values()) for trial in found.trials]
    assert len(settings) == len(set(settings)) <= 8


def test_listed_values_may_be_lists_themselves() -> None:
    layers = [[2], [3], [2, 2], [4]]
    found = SklearnTrainer().fit(
        training(),
        candidate=Candidate.model_validate(
            {
                "estimator": NET,
                "options": {"max_iter": 5000, "solver": "lbfgs", "tol": 1e-2},
                "search": {"hidden_layer_sizes": layers},
            }
        ),
        search=Search(strategy="optuna", trials=3),
        metric="rmse",
        place=PLACE,
    )
    assert all(trial.hyperparameters["hidden_layer_sizes"] in layers for trial in found.trials)


def test_a_missing_package_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "treeline.trainers.optuna", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError) as error:
        tree(**OVER)
    assert str(error.value) == (
        "models.m.search.strategy: 'optuna' needs the package 'optuna'; "
        "install it with: make setup-lab"
    )
