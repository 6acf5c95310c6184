"""Options that mean columns name features, and reach the column that an estimator knows them by."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from treeline.config.models import Candidate, Search
from treeline.contract.features import Feature
from treeline.errors import TrainingError
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.sklearn import SklearnTrainer

N = 400
FEATURES = {  # an estimator is given height and light first, then the soils
    "soil": Feature(type="category", categories=("clay", "loam", "sand")),
    "height": Feature(type="number"),
    "light": Feature(type="number"),
}
FOREST = {"n_estimators": 10}
MONOTONE = [
    ("sklearn.ensemble.HistGradientBoostingRegressor", "monotonic_cst", {}),
    ("sklearn.ensemble.HistGradientBoostingClassifier", "monotonic_cst", {}),
    ("sklearn.tree.DecisionTreeRegressor", "monotonic_cst", {"max_depth": 6}),
    ("sklearn.tree.DecisionTreeClassifier", "monotonic_cst", {"max_depth": 6}),
    ("sklearn.ensemble.RandomForestRegressor", "monotonic_cst", FOREST),
    ("sklearn.ensemble.RandomForestClassifier", "monotonic_cst", FOREST),
    ("sklearn.ensemble.ExtraTreesRegressor", "monotonic_cst", FOREST),
    ("xgboost.XGBRegressor", "monotone_constraints", FOREST),
    ("xgboost.XGBClassifier", "monotone_constraints", FOREST),
]
HISTOGRAM, XGBOOST = "sklearn.ensemble.HistGradientBoostingRegressor", "xgboost.XGBRegressor"


def training(*, classes: bool = False) -> TrainingSet:
    rng = np.random.default_rng(4)
    soil, height, light = rng.integers(0, 3, N), rng.normal(20, 5, N), rng.random(N)
    signal = np.sin(height) + np.sin(9 * light) * (soil == 1) + rng.normal(0, 0.3, N)
    frame = pd.DataFrame({"soil": soil, "height": height, "light": light}).astype(np.float32)
    half = np.arange(N) < N // 2
    return TrainingSet(
        frame=frame,
        target=(signal > 0).astype(np.int64) if classes else signal,
        features=FEATURES,
        task="binary" if classes else "regression",
        folds=[(np.flatnonzero(half), np.flatnonzero(~half))],
        classes=("dead", "alive") if classes else (),
    )


def fit(estimator: str, *, search: dict[str, Any] | None = None, **declared: Any) -> Fitted:
    classes = estimator.endswith("Classifier")
    return SklearnTrainer().fit(
        training(classes=classes),
        candidate=Candidate(estimator=estimator, search=search or {}, **declared),
        search=Search(),
        metric="accuracy" if classes else "rmse",
        place="models.fates.candidates.one",
    )


def refusal(estimator: str, **options: Any) -> str:
    with pytest.raises(TrainingError) as error:
        fit(estimator, options=options)
    return str(error.value)


def answers(estimator: Any, name: str) -> np.ndarray:
    """Return what is predicted while one feature rises, shape (n_rows, n_steps)."""
    frame = training().frame.head(60)
    steps = np.quantile(training().frame[name], np.linspace(0, 1, 25))
    asked = [frame.assign(**{name: np.float32(step)}) for step in steps]
    if hasattr(estimator, "predict_proba"):
        return np.column_stack([estimator.predict_proba(each)[:, 1] for each in asked])
    return np.column_stack([estimator.predict(each) for each in asked])


@pytest.mark.parametrize("categories", ["onehot", "codes"])
@pytest.mark.parametrize("case", MONOTONE, ids=[case[0] for case in MONOTONE])
@pytest.mark.parametrize(("name", "sign"), [("height", 1), ("light", -1)])
def test_a_named_feature_rises_or_falls_and_no_other(
    case: tuple[str, str, dict[str, Any]], categories: Any, name: str, sign: int
) -> None:
    path, option, options = case
    found = fit(path, options={**options, option: {name: sign}}, categories=categories)
    assert (np.diff(answers(found.estimator, name)) * sign >= -1e-6).all()
    other = "light" if name == "height" else "height"
    assert (np.diff(answers(found.estimator, other)) > 0).any()
    assert (np.diff(answers(found.estimator, other)) < 0).any()


@pytest.mark.parametrize(
    ("path", "option"), [(HISTOGRAM, "interaction_cst"), (XGBOOST, "interaction_constraints")]
)
def test_features_that_may_not_interact_add_up(path: str, option: str) -> None:
    apart = fit(path, options={option: [["height"], ["light", "soil"]]}).estimator
    rows = training().frame.head(40)
    changed = rows.assign(height=np.float32(12))
    darker = {"light": np.float32(0.1), "soil": np.float32(0)}
    bright = apart.predict(rows) - apart.predict(changed)
    dark = apart.predict(rows.assign(**darker)) - apart.predict(changed.assign(**darker))
    np.testing.assert_allclose(bright, dark, atol=1e-5)
    free = fit(path).estimator
    bright = free.predict(rows) - free.predict(changed)
    dark = free.predict(rows.assign(**darker)) - free.predict(changed.assign(**darker))
    assert np.abs(bright - dark).max() > 1e-2


def test_categories_of_histogram_boosting_are_named() -> None:
    made = fit(HISTOGRAM, options={"categorical_features": ["soil"]}, categories="codes").estimator
    assert made["estimator"].is_categorical_.tolist() == [False, False, True]


def test_a_search_over_such_options_is_recorded_as_declared() -> None:
    search = {"monotonic_cst": [{"height": 1}, {"light": -1}, None]}
    found = fit(HISTOGRAM, search=search)
    tried = [trial.hyperparameters["monotonic_cst"] for trial in found.trials]
    assert tried == [{"height": 1}, {"light": -1}, None]
    assert found.best.hyperparameters["monotonic_cst"] in tried


@pytest.mark.parametrize(
    ("path", "option", "value", "told"),
    [
        (HISTOGRAM, "monotonic_cst", [1, 0, 0], "name the features, such as {soil: 1}"),
        (HISTOGRAM, "interaction_cst", [[0], [1, 2]], "name the features, such as [[soil]]"),
        (HISTOGRAM, "categorical_features", [0], "name the features, such as [soil]"),
        (HISTOGRAM, "categorical_features", [True, False, False], "depends on the order"),
        (HISTOGRAM, "monotonic_cst", {"width": 1}, "names 'width', which is no feature; there are"),
        (HISTOGRAM, "monotonic_cst", {"soil": 1}, "'soil' is a category, which has no order"),
        (XGBOOST, "monotone_constraints", "(1,0,-1)", "depends on the order of columns"),
        (XGBOOST, "monotone_constraints", {0: 1}, "depends on the order of columns"),
        (XGBOOST, "interaction_constraints", "[[0, 1]]", "depends on the order of columns"),
        (XGBOOST, "feature_types", ["q", "q", "c"], "is taken from the declared features"),
        (XGBOOST, "feature_weights", [1, 2, 3], "name the features, such as {soil: 2}"),
    ],
)
def test_positions_and_strangers_are_refused(path: str, option: str, value: Any, told: str) -> None:
    text = refusal(path, **{option: value})
    assert text.startswith(f"models.fates.candidates.one.{option}") and told in text


def test_a_feature_without_a_column_of_its_own_is_refused() -> None:
    with pytest.raises(TrainingError, match="'height', which is no column of its own"):
        fit(
            HISTOGRAM,
            options={"monotonic_cst": {"height": 1}},
            numbers={"class": "sklearn.decomposition.PCA", "options": {"n_components": 1}},
        )


def test_a_step_that_takes_columns_by_position_is_refused() -> None:
    step = {
        "class": "sklearn.compose.ColumnTransformer",
        "options": {"transformers": [["kept", "passthrough", [0, 2]]]},
    }
    with pytest.raises(TrainingError, match=r"chooses the column 0 by its position"):
        fit("sklearn.linear_model.Ridge", preprocessors=step)
