"""Every candidate on the same folds: the table, the champion, and the record."""

import json
from typing import Any

import pandas as pd
import pytest

from treeline.config.models import ModelSpec
from treeline.errors import TrainingError, UnknownNameError
from treeline.preparation.whole import Prepared, prepare
from treeline.records.training import text_of_training
from treeline.trainers.contest import (
    Contest,
    announced,
    contest,
    mean,
    record,
    table,
    training_set,
)

GUESS = {"estimator": "sklearn.dummy.DummyClassifier"}
RULE = {
    "estimator": "sklearn.tree.DecisionTreeClassifier",
    "preprocessors": {
        "class": "treeline.trainers.preprocessors.KeepColumns",
        "options": {"columns": ["Light"]},
    },
}


def prepared(spec: ModelSpec) -> Prepared:
    """Return the rows of the scratch repository: dead where there is less than half the light."""
    light = [(row * 37 % 100) / 100 for row in range(120)]
    return prepare(
        pd.DataFrame(
            {
                "Plot": [row % 12 for row in range(120)],
                "Harvest": 0,
                "Species": ["Acer", "Quercus"] * 60,
                "Light": light,
                "EMF": [float(row % 50) for row in range(120)],
                "Event": [int(value < 0.5) for value in light],
            }
        ),
        spec,
    )


def held(declaration: dict[str, Any], told: list[str] | None = None, **changed: Any) -> Contest:
    """Train as declared, with some keys of the model changed."""
    spec = ModelSpec.model_validate(declaration | changed)
    rows = prepared(spec)
    training = training_set(rows.train, spec, rows.summary["target"]["classes"])
    seen = [] if told is None else told
    return contest(training, spec, place="models.m", report=lambda name, _: seen.append(name))


def test_the_table_has_a_row_for_each_candidate_with_mean_and_deviation(
    declaration: dict[str, Any],
) -> None:
    found = table(held(declaration))
    assert found["candidate"].tolist() == ["baseline", "logistic"]
    assert found["champion"].tolist() == [False, True]
    assert found["settings_tried"].tolist() == [1, 2]
    assert found["trainer"].tolist() == ["sklearn", "sklearn"]
    assert found["estimator"].tolist() == [
        "sklearn.dummy.DummyClassifier",
        "sklearn.linear_model.LogisticRegression",
    ]
    for metric in ("accuracy", "f1", "roc_auc", "ks", "log_loss", "brier"):
        assert found[[metric, f"{metric}_deviation"]].notna().all(axis=None)


def test_the_numbers_of_the_table_are_those_of_the_folds(declaration: dict[str, Any]) -> None:
    found = held(declaration)
    folds = pd.Series(found.fitted["logistic"].best.folds["roc_auc"])
    row = table(found).set_index("candidate").loc["logistic"]
    assert row["roc_auc"] == pytest.approx(folds.mean(), abs=1e-6)
    assert row["roc_auc_deviation"] == pytest.approx(folds.std(), abs=1e-6)


def test_the_baseline_is_naive_where_none_is_declared(declaration: dict[str, Any]) -> None:
    found = held(declaration)
    assert mean(found.fitted["baseline"], "roc_auc") == 0.5


def test_a_declared_baseline_takes_its_place(declaration: dict[str, Any]) -> None:
    candidates = {"baseline": RULE, **declaration["candidates"]}
    found = held(declaration, candidates=candidates)
    assert mean(found.fitted["baseline"], "roc_auc") > 0.9
    assert list(found.fitted) == ["baseline", "logistic"]


def test_the_baseline_never_wins_even_where_it_is_best(declaration: dict[str, Any]) -> None:
    found = held(declaration, candidates={"baseline": RULE, "guess": GUESS})
    assert mean(found.fitted["baseline"], "roc_auc") > mean(found.fitted["guess"], "roc_auc")
    assert found.champion == "guess"


@pytest.mark.parametrize(
    ("candidates", "champion"),
    [
        ({"baseline": RULE, "guess": GUESS}, "baseline"),
        ({"baseline": RULE, "twin": RULE}, "baseline"),
        ({"baseline": RULE}, "baseline"),
        ({"baseline": GUESS, "rule": RULE}, "rule"),
    ],
    ids=["it is best", "nothing leads it", "it is alone", "it is led"],
)
def test_a_baseline_that_may_win_does_unless_a_candidate_leads_it_clearly(
    declaration: dict[str, Any], candidates: dict[str, Any], champion: str
) -> None:
    winner = {"metric": "log_loss", "baseline": "may_win"}
    found = held(declaration, candidates=candidates, champion=winner)
    assert found.champion == champion
    assert table(found).set_index("candidate")["champion"][champion]


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"], ids=["higher", "lower is better"])
def test_the_champion_is_best_by_the_declared_metric(
    declaration: dict[str, Any], metric: str
) -> None:
    candidates = {"guess": GUESS, **declaration["candidates"], "other": GUESS}
    found = held(declaration, candidates=candidates, champion={"metric": metric})
    assert found.champion == "logistic"


def test_each_candidate_is_told_as_soon_as_it_is_fitted(declaration: dict[str, Any]) -> None:
    told: list[str] = []
    held(declaration, told)
    assert told == ["baseline", "logistic"]


def test_the_record_is_plain_json_with_settings_folds_and_trials(
    declaration: dict[str, Any],
) -> None:
    drawn = {
        "estimator": "sklearn.tree.DecisionTreeClassifier",
        "options": {"criterion": "entropy"},
        "search": {
            "max_depth": {"low": 1, "high": 5, "integer": True},
            "ccp_alpha": {"low": 0, "high": 0.1},
        },
    }
    changed: dict[str, Any] = {
        "candidates": {"tree": drawn},
        "search": {"strategy": "random", "trials": 3},
    }
    found = record(held(declaration, **changed))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["champion"], found["metric"]) == ("tree", "roc_auc")
    assert found["candidates"]["baseline"]["estimator"] == "sklearn.dummy.DummyClassifier"
    tree = found["candidates"]["tree"]
    assert tree["hyperparameters"].keys() == {"criterion", "max_depth", "ccp_alpha"}
    assert len(tree["folds"]["roc_auc"]) == 5
    assert len(tree["trials"]) == 3
    for trial in tree["trials"]:
        assert trial.keys() == {"hyperparameters", "folds"}
        assert trial["folds"].keys() == tree["folds"].keys()
    text = text_of_training(found)
    assert json.loads(text) == found
    assert '"roc_auc": [0.' in text, "the folds of a metric stand on one line"


def test_training_twice_gives_the_same_record(declaration: dict[str, Any]) -> None:
    assert record(held(declaration)) == record(held(declaration))


def test_a_trainer_that_does_not_exist_is_told_with_its_place(declaration: dict[str, Any]) -> None:
    candidates = {"one": {"trainer": "sklaern", "estimator": "sklearn.linear_model.Ridge"}}
    with pytest.raises(UnknownNameError, match=r"models\.m\.candidates\.one\.trainer: 'sklaern'"):
        held(declaration, candidates=candidates)


def test_too_many_folds_are_told(declaration: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"search\.folds: 10 is too many: there are 8 groups"):
        held(declaration, search={"folds": 10})


def test_a_training_says_first_what_it_needs_where_that_is_much(
    declaration: dict[str, Any],
) -> None:
    spec = ModelSpec.model_validate(declaration)
    assert "memory" not in announced(spec, 120, free=None)
    assert "GB of memory" in announced(spec, 20_000_000, free=None)


def test_a_training_beyond_the_machine_names_the_ways(declaration: dict[str, Any]) -> None:
    text = announced(ModelSpec.model_validate(declaration), 20_000_000, free=1_000_000_000)
    assert "1.0 GB are free" in text
    assert "source.where" in text
    assert "trainer: spark" in text
