"""Contributions that are read from a graph are Shapley values, by definition and by `shap`.

The definition takes all sets of features and all rows of the background, which three features of
sixteen points at most allow. `shap` is given the same rows, as a background whose features are
independent.
"""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, combinations, product
from math import factorial
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBClassifier, XGBRegressor

from api.formats.explained import Explained
from api.inference.explanations.background import Background
from api.inference.explanations.exact import exact_of
from api.inference.explanations.explainer import Explainer, run
from api.inference.explanations.reading import Node, UnreadableError
from api.inference.explanations.sampling import CELLS, estimate
from api.inference.explanations.trees import Places, votes_of
from tests.tiny_models import DIABETES, describe
from treeline.artifact import Prediction
from treeline.artifact.onnx import OnnxRuntime
from treeline.contract.features import Feature, Target
from treeline.contract.signature import Distribution, Example, Signature
from treeline.export.conversion import converted, plain_bytes
from treeline.trainers.columns import NamedColumns, TypedColumns

FEATURES = {
    "length": Feature(type="number"),
    "count": Feature(type="integer", nullable=True),
    "kind": Feature(type="category", categories=("a", "b", "c")),
}
NAMES = list(FEATURES)
REFERENCE = {
    "length": Distribution(missing=0, shares=(1.0,), minimum=-2, maximum=2),
    "count": Distribution(missing=0, shares=(0.5, 0.5), edges=(2.0,), minimum=0, maximum=3),
    "kind": Distribution(missing=0, shares=(0.25, 0.25, 0.5)),
}
TASKS = {
    "binary": Target(name="y", task="binary", positive=1),
    "multiclass": Target(name="y", task="multiclass"),
    "regression": Target(name="y", task="regression"),
}
SETS = list(chain.from_iterable(combinations(range(3), size) for size in range(4)))
ROWS = np.array([[0.3, 1, 2], [-1.7, 3, 0], [1.9, 0, 1]], np.float32)
Floats = NDArray[Any]


@dataclass(frozen=True)
class Made:
    """A fitted estimator behind its signature, as a graph."""

    pipeline: Pipeline
    payload: bytes
    signature: Signature
    predict: Callable[[Floats], Prediction]

    @property
    def background(self) -> Background:
        return Background.of(self.signature)

    def explained(self, rows: Floats, *, sampled: bool = False) -> Explained:
        exact = None
        if not sampled:
            exact = exact_of(self.payload, self.signature, self.background, self.predict)
        explainer = Explainer(self.signature, background=self.background, exact=exact)
        return run(explainer.of(rows), self.predict)


def learnt() -> tuple[Floats, dict[str, Floats]]:
    chance = np.random.default_rng(1)
    rows = np.column_stack([
        chance.uniform(-2, 2, 300), chance.integers(0, 4, 300), chance.integers(0, 3, 300)
    ]).astype(np.float32)  # fmt: skip
    score = rows[:, 0] * (rows[:, 2] - 0.5) + 0.4 * rows[:, 1] + chance.normal(0, 0.3, 300)
    targets = {
        "binary": (score > 0.5).astype(int),
        "multiclass": np.digitize(score, [0, 1]),
        "regression": np.exp(score / 3),
    }
    return rows, targets


def made(
    estimator: Any,
    task: str,
    *,
    onehot: bool = False,
    numbers: tuple[Any, ...] = (),
    **changed: Any,
) -> Made:
    rows, targets = learnt()
    columns = TypedColumns({"kind": 3}, list(numbers), onehot=onehot)
    steps = [("names", NamedColumns(NAMES)), ("columns", columns), ("estimator", estimator)]
    pipeline = Pipeline(steps).fit(pd.DataFrame(rows, columns=NAMES), targets[task])
    payload = plain_bytes(converted(pipeline))
    signature = describe(DIABETES, scores=[0.0], payload=payload).model_copy(
        update={
            "features": FEATURES,
            "target": TASKS[task],
            "classes": {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}[task],
            "probabilities": task != "regression",
            "reference": REFERENCE,
            "example": Example(record={"length": 0.5, "count": 1.0, "kind": "b"}, scores=(0.0,)),
            **changed,
        }
    )
    runtime = OnnxRuntime.load({"model.onnx": payload})
    return Made(pipeline, payload, signature, runtime.predict)


def grid(background: Background) -> tuple[Floats, Floats]:
    """Return every row of a background, and the share of each."""
    points = [np.flatnonzero(column > 0) for column in background.shares.T]
    places = np.array(list(product(*points)))
    at = np.arange(places.shape[1])
    return background.codes[places, at], background.shares[places, at].prod(axis=1)


def number_of(made: Made, explained: Explained, at: int) -> Callable[[Floats], Floats]:
    """Return what is explained, of any rows, from the probabilities alone."""
    code, scale = int(explained.classes[at]), explained.scale

    def numbers(rows: Floats) -> Floats:
        prediction = made.predict(rows.astype(np.float32))
        if scale == "value":
            return np.asarray(prediction.values, np.float64).ravel()
        if scale == "vote":
            return np.asarray(prediction.labels == code, np.float64)
        scores = np.asarray(prediction.scores, np.float64)
        if scale == "log-odds":
            return np.log(scores[:, 1] / scores[:, 0])
        logs = np.log(scores) if scale == "log-ratio" else scores
        return np.asarray(logs[:, code] - (logs.mean(axis=1) if scale == "log-ratio" else 0))

    return numbers


def by_definition(
    numbers: Callable[[Floats], Floats], row: Floats, background: Background
) -> tuple[float, Floats]:
    """Return the base and the Shapley values, from all sets of features."""
    rows, shares = grid(background)
    worth = {}
    for known in SETS:
        mixed = rows.copy()
        mixed[:, list(known)] = row[list(known)]
        worth[known] = float(numbers(mixed) @ shares)
    added = np.zeros(len(row))
    for known, feature in product(SETS, range(len(row))):
        if feature not in known:
            weight = factorial(len(known)) * factorial(len(row) - 1 - len(known))
            more = worth[tuple(sorted((*known, feature)))] - worth[known]
            added[feature] += weight / factorial(len(row)) * more
    return worth[()], added


LOGISTIC = LogisticRegression(C=10)
EXACT = {
    "logistic": (LOGISTIC, "binary", "log-odds"),
    "logistic of three": (LOGISTIC, "multiclass", "log-ratio"),
    "ridge": (Ridge(), "regression", "value"),
    "tree": (DecisionTreeRegressor(max_depth=5), "regression", "value"),
    "forest": (RandomForestRegressor(20, random_state=0), "regression", "value"),
    "forest of two": (RandomForestClassifier(20, random_state=0), "binary", "probability"),
    "extra trees": (ExtraTreesClassifier(20, random_state=0), "multiclass", "probability"),
    "boosting": (GradientBoostingRegressor(random_state=0), "regression", "value"),
    "boosting of two": (GradientBoostingClassifier(random_state=0), "binary", "log-odds"),
    "boosting of three": (
        GradientBoostingClassifier(n_estimators=20, random_state=0), "multiclass", "log-ratio"
    ),
    "histograms": (HistGradientBoostingRegressor(max_iter=30), "regression", "value"),
    "histograms of two": (HistGradientBoostingClassifier(max_iter=30), "binary", "log-odds"),
    "histograms of three": (
        HistGradientBoostingClassifier(max_iter=20), "multiclass", "log-ratio"
    ),
    "xgboost": (XGBRegressor(n_estimators=30), "regression", "value"),
    "xgboost of two": (XGBClassifier(n_estimators=30), "binary", "log-odds"),
    "xgboost of three": (XGBClassifier(n_estimators=20), "multiclass", "log-ratio"),
}  # fmt: skip


ONE_HOT = ("logistic", "logistic of three", "forest of two", "boosting of two", "xgboost")
CASES = [(name, False) for name in EXACT] + [(name, True) for name in ONE_HOT]


@cache
def exact(name: str, *, onehot: bool = False) -> Made:
    estimator, task, _ = EXACT[name]
    return made(estimator, task, onehot=onehot)


def check(model: Made, explained: Explained, rows: Floats, *, within: float) -> None:
    for at, row in enumerate(rows):
        numbers = number_of(model, explained, at)
        base, added = by_definition(numbers, row, model.background)
        answer = numbers(row[None].repeat(2, 0))[0]
        assert explained.bases[at] == pytest.approx(base, abs=within)
        assert explained.contributions[at] == pytest.approx(added, abs=within)
        assert explained.values[at] == pytest.approx(answer, abs=within)


@pytest.mark.parametrize(("name", "onehot"), CASES)
def test_contributions_are_shapley_values_by_definition(name: str, onehot: bool) -> None:
    model = exact(name, onehot=onehot)
    explained = model.explained(ROWS)
    assert (explained.scale, explained.method) == (EXACT[name][2], "exact")
    # the logarithm takes digits of a probability, which is float32
    check(model, explained, ROWS, within=2e-3 if explained.scale.startswith("log") else 1e-5)


SOMETIMES = REFERENCE["count"].model_copy(update={"missing": 0.2})
TAKE_MISSING = {
    "boosting": (HistGradientBoostingRegressor(max_iter=20), ()),
    "xgboost": (XGBRegressor(n_estimators=20), ()),
    "forest": (RandomForestRegressor(10, random_state=0), ()),
    "imputed": (Ridge(), (SimpleImputer(), StandardScaler())),
}


@pytest.mark.parametrize("name", TAKE_MISSING)
def test_a_missing_value_is_explained_like_any_other(name: str) -> None:
    estimator, numbers = TAKE_MISSING[name]
    model = made(
        estimator, "regression", numbers=numbers, reference={**REFERENCE, "count": SOMETIMES}
    )
    rows = np.array([[0.3, np.nan, 2], [1.2, 2, 0]], np.float32)
    explained = model.explained(rows)
    assert explained.method == "exact"
    check(model, explained, rows, within=1e-5)


OTHERS = {
    "calibrated": (CalibratedClassifierCV(LOGISTIC, cv=2), "binary", "probability"),
    "poisson": (PoissonRegressor(), "regression", "value"),
    "support vectors": (LinearSVC(), "multiclass", "vote"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_graph_tells_is_sampled_and_says_how_far_it_is_off(name: str) -> None:
    estimator, task, scale = OTHERS[name]
    model = made(estimator, task, probabilities=scale == "probability")
    explained = model.explained(ROWS)
    assert (explained.scale, explained.method) == (scale, "sampled")
    assert explained.errors is not None and explained.base_errors is not None
    for at, row in enumerate(ROWS):
        numbers = number_of(model, explained, at)
        base, added = by_definition(numbers, row, model.background)
        assert abs(explained.bases[at] - base) < 4 * explained.base_errors[at] + 1e-6
        off = np.abs(explained.contributions[at] - added)
        assert (off < 4 * explained.errors[at] + 1e-6).all()
        answer = numbers(row[None].repeat(2, 0))[0]
        assert explained.values[at] == pytest.approx(answer, abs=1e-6)
    assert explained.errors.max() < 0.05


def test_standard_errors_of_samples_are_what_they_are_off_by() -> None:
    model = exact("boosting")
    rows = learnt()[0][:40]
    off = model.explained(rows, sampled=True)
    assert off.errors is not None
    ratios = (off.contributions - model.explained(rows).contributions) / off.errors
    assert 0.6 < np.sqrt((ratios**2).mean()) < 1.5


MODES = {"BRANCH_LEQ": 0, "BRANCH_LT": 1}


def of_any_type(payload: bytes) -> bytes:
    """Return a graph whose trees are written by the operator of ai.onnx.ml 5."""
    graph = onnx.load_from_string(payload)
    (node,) = (each for each in graph.graph.node if each.op_type == "TreeEnsembleRegressor")
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    modes = [mode.decode() for mode in given["nodes_modes"]]
    names = list(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))
    kinds = dict(zip(names, modes, strict=True))
    inner = {name: at for at, name in enumerate(n for n in names if kinds[n] != "LEAF")}
    leaves = {name: at for at, name in enumerate(n for n in names if kinds[n] == "LEAF")}
    weights = dict(
        zip(
            zip(given["target_treeids"], given["target_nodeids"], strict=True),
            given["target_weights"],
            strict=True,
        )
    )
    at = [place for place, mode in enumerate(modes) if mode != "LEAF"]

    def children(side: str) -> dict[str, Any]:
        there = [(names[place][0], given[f"nodes_{side}nodeids"][place]) for place in at]
        return {
            f"nodes_{side}nodeids": [inner.get(name, leaves.get(name, 0)) for name in there],
            f"nodes_{side}leafs": [int(name in leaves) for name in there],
        }

    made = helper.make_node(
        "TreeEnsemble",
        list(node.input),
        list(node.output),
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        tree_roots=[inner[name] for name in names if name[1] == 0],
        nodes_modes=numpy_helper.from_array(np.array([MODES[modes[p]] for p in at], np.uint8)),
        nodes_splits=numpy_helper.from_array(
            np.array([given["nodes_values"][p] for p in at], np.float32)
        ),
        nodes_featureids=[given["nodes_featureids"][p] for p in at],
        nodes_missing_value_tracks_true=[
            given.get("nodes_missing_value_tracks_true", [0] * len(modes))[p] for p in at
        ],
        leaf_targetids=[0] * len(leaves),
        leaf_weights=numpy_helper.from_array(
            np.array([weights[name] for name in leaves], np.float32)
        ),
        **children("true"),
        **children("false"),
    )
    node.CopyFrom(made)
    for each in graph.opset_import:
        each.version = 5 if each.domain == "ai.onnx.ml" else each.version
    return graph.SerializeToString()


@pytest.mark.parametrize(
    "estimator",
    [GradientBoostingRegressor(n_estimators=8), XGBRegressor(n_estimators=8, base_score=0)],
)
def test_trees_by_the_newer_operator_are_read_too(estimator: Any) -> None:
    model = made(estimator, "regression")
    payload = of_any_type(model.payload)
    predict = OnnxRuntime.load({"model.onnx": payload}).predict
    newer = replace(model, payload=payload, predict=predict)
    explained = newer.explained(ROWS)
    assert explained.method == "exact"
    check(newer, explained, ROWS, within=1e-5)


def test_the_same_row_is_explained_the_same_each_time() -> None:
    model = exact("ridge")
    once, again = (model.explained(ROWS, sampled=True) for _ in range(2))
    assert (once.contributions == again.contributions).all()
    assert len(set(once.bases.tolist())) == 1


def test_a_graph_that_is_read_wrongly_is_not_believed() -> None:
    model = exact("ridge")
    other = exact("tree")  # the answers of another model
    assert exact_of(model.payload, model.signature, model.background, other.predict) is None


@pytest.mark.parametrize("payload", [b"", b"no model", b"\x08\x07"])
def test_what_is_no_graph_is_not_read(payload: bytes) -> None:
    model = exact("ridge")
    assert exact_of(payload, model.signature, model.background, model.predict) is None


def test_points_by_columns_that_take_too_much_memory_are_not_computed() -> None:
    """A feature of some thousands of categories has as many points, and as many columns."""
    many = Distribution(missing=0, shares=(1.0,) * (1 << 20))
    model = made(LogisticRegression(), "binary", onehot=True, reference={**REFERENCE, "kind": many})
    assert exact_of(model.payload, model.signature, model.background, model.predict) is None


def test_trees_whose_outputs_take_too_much_memory_are_not_read() -> None:
    numbers = np.arange(1 << 11)
    places = Places.of(np.zeros_like(numbers), numbers)
    given = {
        "classlabels_int64s": np.arange(1 << 14),
        "class_treeids": numbers[:1] * 0,
        "class_nodeids": numbers[:1],
        "class_ids": numbers[:1],
        "class_weights": np.ones(1, np.float32),
    }
    with pytest.raises(UnreadableError, match="too many outputs"):
        votes_of(Node("TreeEnsembleClassifier", (), (), given), places, 1)


def test_a_model_of_many_features_is_given_few_rows_at_once() -> None:
    width = 2000
    codes, shares = np.zeros((1, width), np.float32), np.ones((1, width))
    row = np.ones((1, width), np.float32)
    questions = estimate(row, Background(codes, shares))
    rows, cells = next(questions), []
    try:
        while True:
            cells.append(rows.size)
            rows = questions.send(rows.sum(axis=1).astype(np.float64))
    except StopIteration as ended:
        assert ended.value.added == pytest.approx(np.ones(width))
    assert max(cells) < 2 * CELLS  # what waits, and one part more


def test_a_feature_without_a_reference_stands_at_the_example() -> None:
    background = made(Ridge(), "regression", reference={}).background
    assert background.codes.tolist() == [[0.5, 1.0, 1.0]]
    assert background.shares.tolist() == [[1, 1, 1]]


def test_whole_numbers_have_whole_points_in_their_bins() -> None:
    background = exact("ridge").background
    counts = background.codes[:, 1][background.shares[:, 1] > 0]
    assert np.bincount(counts.astype(int)).tolist() == [8, 8, 8, 8]


SHAP = {
    "ridge": None,
    "tree": None,
    "forest": None,
    "forest of two": 1,
    "extra trees": 2,
    "boosting": None,
    "boosting of two": None,
    "histograms": None,
    "histograms of two": None,
}
ALIKE = {
    **REFERENCE,
    "kind": Distribution(missing=0, shares=(1.0, 1.0, 1.0)),
}  # rows count the same


# No part of our environment, whose lock files a compiler for numbers would tie: it is installed
# beside it. What else it needs is here.
SHAP_ITSELF = ("shap==0.51.0", "numba==0.68.1", "llvmlite==0.50.0", "slicer==0.0.8")
BESIDE = (*SHAP_ITSELF, "cloudpickle==3.1.3")


@pytest.fixture(scope="module")
def shap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("shap")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    if find_spec("shap") is None:
        done = subprocess.run([*pip, *BESIDE], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout).splitlines()[-1]
            pytest.skip(f"shap cannot be installed: {reason}")
    sys.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba
        yield import_module("shap")
    sys.path.remove(str(folder))


@pytest.mark.parametrize("name", SHAP)
def test_contributions_are_those_of_shap(name: str, shap: Any) -> None:
    estimator, task, _ = EXACT[name]
    model = made(estimator, task, reference=ALIKE)
    rows, _ = grid(model.background)
    fitted = model.pipeline[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masker = shap.maskers.Independent(rows, max_samples=len(rows))
        if name == "ridge":
            explainer = shap.LinearExplainer(fitted, masker)
        else:
            explainer = shap.TreeExplainer(fitted, masker, feature_perturbation="interventional")
        expected = np.asarray(explainer.shap_values(ROWS))
    base = np.ravel(explainer.expected_value)
    explained = model.explained(ROWS)
    if (place := SHAP[name]) is not None:
        base, expected = base[place:], expected[..., place]
        if task == "multiclass":
            explained = model.explained(ROWS[explained.classes == place])
            expected = expected[: len(explained)]
    assert explained.contributions == pytest.approx(expected, abs=1e-4)
    assert explained.bases == pytest.approx(np.full(len(explained), base[0]), abs=1e-4)
