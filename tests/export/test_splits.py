"""Trees behind scalers: the graph rounds as the estimator does, and the proof looks at splits."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.preprocessing import RobustScaler

from treeline.artifact.onnx import OnnxRuntime
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate
from treeline.contract.features import Feature
from treeline.export.conversion import converted, plain_bytes
from treeline.export.packaging import Proof, crossings, repeated, splits_of
from treeline.trainers.pipeline import build

FEATURES = {
    "light": Feature(type="number"),
    "height": Feature(type="number", minimum=-50, maximum=90),
    "leaves": Feature(type="integer", minimum=0),
}
SCALERS = [
    "StandardScaler",
    "RobustScaler",
    "MaxAbsScaler",
    {"class": "sklearn.preprocessing.MinMaxScaler", "options": {"clip": True}},
    {"class": "sklearn.preprocessing.RobustScaler", "options": {"with_centering": False}},
    {"class": "sklearn.preprocessing.StandardScaler", "options": {"with_std": False}},
]
TREES = [
    "sklearn.tree.DecisionTreeRegressor",
    "sklearn.ensemble.RandomForestRegressor",
    "sklearn.ensemble.GradientBoostingRegressor",
    "sklearn.ensemble.HistGradientBoostingRegressor",
    "xgboost.XGBRegressor",
]


def drawn(count: int, *, seed: int) -> NDArray[np.float32]:
    """Return codes of rows, float32 of shape (count, 3), measured to two decimals."""
    rng = np.random.default_rng(seed)
    columns = [rng.normal(20, 5, count).round(2), rng.normal(20, 9, count).round(2)]
    return np.column_stack([*columns, rng.integers(0, 30, count)]).astype(np.float32)


def fitted(path: str, numbers: Any) -> Any:
    rows = drawn(1500, seed=1)
    noise = np.random.default_rng(2).normal(0, 1, len(rows))
    step = f"sklearn.preprocessing.{numbers}" if isinstance(numbers, str) else numbers
    options = {} if path.endswith("tree.DecisionTreeRegressor") else {"random_state": 0}
    candidate = Candidate(estimator=path, numbers=step, options=options)
    target = (rows[:, 0] * rows[:, 1] / 20 + rows[:, 2] + noise) / 50  # sums of float32 are small
    return build(candidate, FEATURES, seed=0, place="here").fit(rows, target)


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.parametrize("path", TREES)
def test_a_tree_behind_a_scaler_answers_as_its_estimator_on_every_side(
    path: str, scaler: Any
) -> None:
    estimator = fitted(path, scaler)
    graph = converted(estimator)
    rows = drawn(20_000, seed=9)
    near = drawn(2000, seed=8)
    for place, values in enumerate(crossings(estimator, graph, rows, FEATURES).values()):
        steps = [np.nextafter(values, np.float32(np.inf)), values]
        near[:, place] = np.resize(np.concatenate(steps), len(near))
    sent = np.concatenate([rows, near])
    expected = predict(estimator, sent).values
    given = OnnxRuntime.load({"model.onnx": plain_bytes(graph)}).predict(sent).values
    assert expected is not None and given is not None
    assert np.max(np.abs(given - expected) / np.maximum(1, np.abs(expected))) <= 1e-5


def test_the_values_next_to_a_split_are_found_behind_a_scaler() -> None:
    estimator = fitted("sklearn.tree.DecisionTreeRegressor", "RobustScaler")
    graph, rows = converted(estimator), drawn(300, seed=3)
    places = crossings(estimator, graph, rows, FEATURES)
    assert set(places) == {"light", "height"}, "whole numbers do not come close to a split"
    splits = splits_of(graph)
    for place, (name, values) in enumerate(places.items()):
        assert len(values) > 50
        inner = estimator["columns"].plain_.named_transformers_["numbers"][-1]
        assert isinstance(inner, RobustScaler)
        after = np.nextafter(values, np.float32(np.inf))
        for before_split, after_split in zip(values, after, strict=True):
            pair = np.repeat(rows[:1], 2, axis=0)
            pair[:, place] = before_split, after_split
            low, high = estimator[:-1].transform(pair)[:, place]
            limits = splits.thresholds[splits.columns == place]
            assert ((limits >= low) & (limits < high)).any(), (name, before_split)


def test_a_scaler_whose_graph_rounds_otherwise_is_caught_with_few_rows() -> None:
    estimator = fitted("sklearn.tree.DecisionTreeRegressor", "PowerTransformer")
    proof = Proof(matrix=drawn(5, seed=4), first={}, tolerance=1e-5, features=FEATURES)
    found = repeated(estimator, proof)
    assert "at a split, the ONNX graph differs" in found["missing"]


@pytest.mark.parametrize("rows", [1, 300])
def test_where_no_tree_splits_there_is_nothing_to_look_at(rows: int) -> None:
    estimator = fitted("sklearn.linear_model.Ridge", "RobustScaler")
    assert crossings(estimator, converted(estimator), drawn(rows, seed=3), FEATURES) == {}
