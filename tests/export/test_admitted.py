"""Whatever the contract admits, a graph answers as its estimator does, or is not exported.

Rows are drawn here by another rule than the one by which the export proves a graph.
"""

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.drafts import draft
from treeline.artifact.onnx import OnnxRuntime
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate
from treeline.contract.features import Feature, Task
from treeline.errors import TrainingError
from treeline.export.admitted import admitted, check_missing
from treeline.export.packaging import ONNX_FILE, Package, Proof, packaged
from treeline.trainers.compare import candidate_of, contenders
from treeline.trainers.pipeline import build

N, SENT = 150, 600
FEATURES = {
    "light": Feature(type="number", minimum=0, maximum=1),
    "height": Feature(type="number", nullable=True),
    "age": Feature(type="integer", minimum=0, maximum=9),
    "soil": Feature(type="category", categories=("clay", "loam", "sand"), nullable=True),
    "wet": Feature(type="boolean"),
}
CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("alive", "dead"),
    "multiclass": ("high", "low", "middle"),
    "regression": (),
}
SLOW = ("sklearn.gaussian_process", "sklearn.linear_model.QuantileRegressor")
CASES = [
    (task, path)
    for task in CLASSES
    for path in contenders(task, scores=False)
    if not path.startswith(SLOW)
]
TREES = [
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.tree.ExtraTreeClassifier",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.BaggingClassifier",
    "sklearn.tree.DecisionTreeRegressor",
    "sklearn.ensemble.RandomForestRegressor",
    "sklearn.ensemble.ExtraTreesRegressor",
    "sklearn.ensemble.BaggingRegressor",
]


def drawn(count: int, *, seed: int, missing: float = 0) -> NDArray[np.float32]:
    """Return codes of rows that the contract admits, float32 of shape (count, 5)."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.random(count).round(2),
        rng.normal(20, 5, count).round(1),
        rng.integers(0, 10, count),
        rng.integers(0, 3, count),
        rng.integers(0, 2, count),
    ]
    rows = np.column_stack(columns).astype(np.float32)
    for place in (1, 3):
        rows[rng.random(count) < missing, place] = np.nan
    return rows


@cache
def learnt(task: Task, missing: float) -> tuple[Any, Any]:
    rows = drawn(N, seed=1, missing=missing)
    noise = np.random.default_rng(2).normal(0, 0.4, N)
    signal = rows[:, 0] * 2 + (np.nan_to_num(rows[:, 3]) == 1) + rows[:, 4] + noise + 3
    if task == "regression":
        return rows, signal
    count = len(CLASSES[task])
    return rows, np.argsort(np.argsort(signal)) * count // N


def package(task: Task, estimator: Any, rows: NDArray[np.float32]) -> Package:
    first: dict[str, Any] = {"light": 0.5, "height": 20.0, "age": 3, "soil": "clay", "wet": True}
    proof = Proof(matrix=rows, first=first, tolerance=1e-5, features=FEATURES)
    return packaged(estimator, draft(task, FEATURES, CLASSES[task]), proof)


def check_as_sent(task: Task, estimator: Any, made: Package, sent: NDArray[np.float32]) -> None:
    expected = predict(estimator, sent)
    found = OnnxRuntime.load({ONNX_FILE: made.files[ONNX_FILE]}).predict(sent)
    if task == "regression":
        assert expected.values is not None and found.values is not None
        scale = np.maximum(1, np.abs(expected.values))
        assert np.max(np.abs(found.values - expected.values) / scale) <= 1e-5
        return
    np.testing.assert_array_equal(found.labels, expected.labels)
    if expected.scores is not None:
        assert found.scores is not None
        assert np.max(np.abs(found.scores - expected.scores)) <= 1e-5
        assert found.scores.min() >= 0 and found.scores.max() <= 1


@pytest.mark.parametrize("missing", [0, 0.2], ids=["none missing", "some missing"])
@pytest.mark.parametrize(("task", "path"), CASES, ids=[f"{t}-{p}" for t, p in CASES])
def test_a_graph_answers_as_its_estimator_does(task: Task, path: str, missing: float) -> None:
    made = contenders(task, scores=False)[path]
    candidate = candidate_of(path, made, FEATURES, Candidate(trainer="compare"))
    rows, target = learnt(task, missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few rows and of defaults
        try:
            estimator = build(candidate, FEATURES, seed=0, place="here").fit(rows, target)
        except (ValueError, np.linalg.LinAlgError) as error:
            pytest.skip(f"{path} cannot learn from these rows: {error}")
        try:
            check_missing(estimator, rows, FEATURES, place="here")
        except TrainingError:
            assert missing == 0, "what has learnt from missing values has an answer to them"
            return
        exported = package(task, estimator, rows[:60])
        if exported.signature.runtime == "onnx":
            assert exported.signature.parity.admitted_rows > 100
            check_as_sent(task, estimator, exported, drawn(SENT, seed=9, missing=0.3))


@pytest.mark.parametrize("missing", [0, 0.2], ids=["none missing", "some missing"])
@pytest.mark.parametrize("categories", ["onehot", "codes"])
@pytest.mark.parametrize("path", TREES)
def test_trees_are_exported_with_their_routes_and_ties(
    path: str, categories: str, missing: float
) -> None:
    task: Task = "regression" if path.endswith("Regressor") else "multiclass"
    rows, target = learnt(task, missing)
    options = {} if ".tree." in path else {"n_estimators": 6}
    declared = Candidate(estimator=path, categories=categories, options=options)
    estimator = build(declared, FEATURES, seed=0, place="here").fit(rows, target)
    exported = package(task, estimator, rows[:30])
    assert exported.signature.parity.note == ""
    check_as_sent(task, estimator, exported, drawn(3000, seed=9, missing=0.3))


@pytest.mark.parametrize("trees", [2, 6, 10, 14])
def test_a_vote_that_is_even_is_decided_as_the_forest_does(trees: int) -> None:
    rows, target = learnt("binary", 0)
    declared = Candidate(
        estimator="sklearn.ensemble.RandomForestClassifier", options={"n_estimators": trees}
    )
    estimator = build(declared, FEATURES, seed=0, place="here").fit(rows, target)
    sent = drawn(20_000, seed=9)
    even = estimator.predict_proba(sent)[:, 0] == 0.5
    assert even.sum() > 100
    check_as_sent("binary", estimator, package("binary", estimator, rows[:30]), sent)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("sklearn.linear_model.LogisticRegression", "does not accept missing values"),
        ("sklearn.neighbors.KNeighborsClassifier", "contains NaN"),
        ("sklearn.ensemble.GradientBoostingClassifier", "contains NaN"),
    ],
)
def test_a_champion_that_has_no_answer_to_a_missing_value_is_refused(path: str, told: str) -> None:
    rows, target = learnt("binary", 0)
    estimator = build(Candidate(estimator=path), FEATURES, seed=0, place="x").fit(rows, target)
    with pytest.raises(TrainingError) as error:
        check_missing(estimator, rows, FEATURES, place="models.fates.candidates.one")
    text = str(error.value)
    assert text.startswith("models.fates.candidates.one: `features.height` is nullable")
    assert "declare a `fill`, take `nullable` away" in text


def test_rows_are_made_for_every_value_that_is_admitted() -> None:
    rows = drawn(20, seed=1)
    splits = {"light": np.array([0.25], np.float32)}
    made = admitted(rows, FEATURES, splits=splits)
    matrix = made.matrix
    assert set(made.kinds) >= {
        *("height missing", "soil missing", "soil 'sand'", "wet true", "wet false"),
        *("light 0", "light 1", "age 0", "age 9", "several missing values"),
    }
    assert np.isnan(matrix[:, [1, 3]]).all(axis=1).any()
    assert not np.isnan(matrix[:, [0, 2, 4]]).any()
    (split,) = splits["light"]
    below, above = np.nextafter(split, np.float32(0)), np.nextafter(split, np.float32(1))
    assert {below, split, above, np.nextafter(above, np.float32(1))} <= set(matrix[:, 0])
    assert matrix[:, 0].min() >= 0 and matrix[:, 0].max() <= 1
    assert (matrix[:, 2] % 1 == 0).all()
