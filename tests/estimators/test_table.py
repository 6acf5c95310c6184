"""The table of estimators is whole, and what it says is so."""

import pytest

from tests.estimators.cells import KINDS, cases, served
from tests.estimators.document import read
from treeline.contract.features import Task

QUICK: list[tuple[Task, str]] = [
    ("binary", "sklearn.linear_model.LogisticRegression"),
    ("binary", "sklearn.neighbors.KNeighborsClassifier"),
    ("binary", "sklearn.neighbors.NearestCentroid"),
    ("binary", "sklearn.tree.DecisionTreeClassifier"),
    ("binary", "xgboost.XGBClassifier"),
    ("regression", "sklearn.ensemble.GradientBoostingRegressor"),
    ("regression", "sklearn.linear_model.Ridge"),
    ("regression", "sklearn.neighbors.KNeighborsRegressor"),
    ("regression", "sklearn.tree.DecisionTreeRegressor"),
]


def test_every_estimator_that_can_be_tried_is_in_the_table() -> None:
    assert list(read()) == [path for _, path in cases()]
    assert len(cases()) >= 60


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("task", "path"), QUICK, ids=[path for _, path in QUICK])
def test_an_estimator_is_served_as_the_table_says(task: Task, path: str, name: str) -> None:
    assert served(task, path, name) == read()[path][name]
