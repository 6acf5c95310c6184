"""What is exported predicts what the estimator predicts, or it is not exported as ONNX."""

import pickle
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tests.own_classes import as_own
from treeline.artifact.onnx import OnnxRuntime
from treeline.config.blocks import Onnx
from treeline.config.models import Candidate, Search
from treeline.contract.features import Feature, Target, Task
from treeline.contract.signature import Lineage, Signature, Verdict, version_of
from treeline.errors import ExportError
from treeline.export.packaging import Package, Proof, packaged
from treeline.preparation.encoding import encoded
from treeline.trainers import TrainingSet
from treeline.trainers.sklearn import SklearnTrainer

FEATURES = {
    "soil": Feature(type="category", categories=("clay", "loam", "sand"), nullable=True),
    "light": Feature(type="number", minimum=0, maximum=1),
    "height": Feature(type="number", nullable=True),
    "wet": Feature(type="boolean"),
}
TREES = {"n_estimators": 20}
LONG = {"max_iter": 2000}


class Ratio(BaseEstimator):
    """A preprocessor of a user's own that says nothing of a library transformer."""

    def fit(self, frame: Any, target: Any = None) -> Self:
        self.fitted_ = True
        return self

    def transform(self, frame: Any) -> Any:
        return frame.assign(ratio=frame["light"] / (1 + frame["wet"]))


class Rooted(BaseEstimator):
    """A step of numbers of a user's own that says nothing of what does the same."""

    def fit(self, numbers: Any, target: Any = None) -> Self:
        self.fitted_ = True
        return self

    def transform(self, numbers: Any) -> Any:
        return np.sqrt(np.abs(numbers))


class Scaled(BaseEstimator):
    """A step of a user's own that says what does the same."""

    def fit(self, frame: Any, target: Any = None) -> Self:
        self.scaler_ = StandardScaler().fit(np.asarray(frame))
        return self

    def transform(self, frame: Any) -> Any:
        return self.scaler_.transform(np.asarray(frame))

    def plain(self) -> Any:
        return self.scaler_


class Cautious:
    """An estimator of a user's own, no class of scikit-learn's, that says what does the same."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, matrix: Any, target: Any) -> Self:
        self.inner_ = LogisticRegression(C=1 / self.strength).fit(matrix, target)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, matrix: Any) -> Any:
        return self.inner_.predict(matrix)

    def predict_proba(self, matrix: Any) -> Any:
        return self.inner_.predict_proba(matrix)

    def plain(self) -> Any:
        return self.inner_


class Silent(Cautious):
    """The same, without a word of what it is."""

    plain: Any = None


class OfAnEngine:
    """An estimator that is served by a runtime of its own; here that is the one for pickles."""

    runtime = "pickle"

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.classes_ = estimator.classes_
        self.predict, self.predict_proba = estimator.predict, estimator.predict_proba

    def artifact_files(self) -> dict[str, bytes]:
        return {"engine.pkl": pickle.dumps(self.estimator)}


def _rows(n_rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    soil = rng.choice(np.array(["clay", "loam", "sand", None]), n_rows, p=[0.3, 0.3, 0.3, 0.1])
    height = np.where(rng.random(n_rows) < 0.2, np.nan, rng.normal(20, 5, n_rows).round(2))
    return pd.DataFrame(
        {
            "soil": pd.Series(soil, dtype="str"),
            "light": rng.random(n_rows).round(3),
            "height": height,
            "wet": rng.random(n_rows) < 0.5,
        }
    )


def _target(task: Task) -> np.ndarray:
    rows = _rows()
    signal = rows["light"] * 3 + (rows["soil"] == "clay") + rows["height"].fillna(20) / 10
    values = signal.to_numpy() + np.random.default_rng(1).normal(0, 0.3, len(rows))
    return values if task == "regression" else pd.qcut(values, 2 if task == "binary" else 3).codes


def _package(task: Task = "binary", **candidate: Any) -> Package:
    estimator, proof = _fitted(task, **candidate)
    return packaged(estimator, _draft(task), proof)


def _fitted(task: Task = "binary", onnx: Onnx = "preferred", **candidate: Any) -> tuple[Any, Proof]:
    frame, target = encoded(_rows(), FEATURES), _target(task)
    half = np.arange(len(frame)) < len(frame) // 2
    training = TrainingSet(
        frame=frame,
        target=target.astype(np.float64 if task == "regression" else np.int64),
        features=FEATURES,
        task=task,
        folds=[(np.flatnonzero(half), np.flatnonzero(~half))],
    )
    fitted = SklearnTrainer().fit(
        training,
        candidate=Candidate.model_validate(candidate),
        search=Search(),
        metric="rmse" if task == "regression" else "accuracy",
        place="models.test.candidates.one",
    )
    proof = Proof(
        matrix=frame.to_numpy(),
        first={"soil": "clay", "light": 0.5, "height": None, "wet": True},
        tolerance=1e-5,
        features=FEATURES,
        onnx=onnx,
    )
    return fitted.estimator, proof


def _draft(task: Task) -> dict[str, Any]:
    digest = "0" * 64
    return {
        "name": "test",
        "target": Target(name="alive", task=task, positive=1 if task == "binary" else None),
        "classes": () if task == "regression" else tuple(map(float, range(2 + (task != "binary")))),
        "features": FEATURES,
        "metrics": {},
        "verdict": Verdict(passed=True, reasons=()),
        "lineage": Lineage(
            data={}, params=digest, code=digest, libraries={}, champion="one",
            estimator="x", hyperparameters={},
        ),
        "reference": {},
    }  # fmt: skip


SEEN: dict[str, Any] = {
    "numbers": "sklearn.impute.SimpleImputer"
}  # for estimators that cannot take NaN
FAITHFUL = [
    ("binary", "sklearn.linear_model.LogisticRegression", SEEN),
    ("multiclass", "sklearn.linear_model.LogisticRegression", {"options": LONG, **SEEN}),
    ("binary", "sklearn.ensemble.GradientBoostingClassifier", SEEN),
    ("binary", "sklearn.ensemble.RandomForestClassifier", {"options": TREES, **SEEN}),
    ("multiclass", "sklearn.ensemble.ExtraTreesClassifier", {"options": TREES, **SEEN}),
    ("binary", "sklearn.ensemble.HistGradientBoostingClassifier", {}),
    ("binary", "sklearn.discriminant_analysis.LinearDiscriminantAnalysis", SEEN),
    ("binary", "xgboost.XGBClassifier", {"options": TREES}),
    ("binary", "xgboost.XGBClassifier", {"options": TREES, "categories": "codes"}),
    ("multiclass", "xgboost.XGBClassifier", {"options": TREES}),
    ("regression", "xgboost.XGBRegressor", {"options": TREES}),
    ("regression", "sklearn.linear_model.Ridge", SEEN),
    ("regression", "sklearn.ensemble.RandomForestRegressor", {"options": TREES, **SEEN}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "estimator", "how"), FAITHFUL)
def test_an_estimator_with_a_faithful_converter_is_exported_as_onnx(
    task: Task, estimator: str, how: dict[str, Any]
) -> None:
    package = _package(task, estimator=estimator, **how)
    assert package.signature.parity.note == ""
    assert list(package.files) == ["model.onnx"]
    assert package.signature.parity.labels_differing == 0
    assert package.signature.parity.largest_difference <= 1e-5


def test_a_scaler_before_trees_rounds_as_scikit_learn_does() -> None:
    package = _package(
        numbers=["sklearn.impute.SimpleImputer", "sklearn.preprocessing.StandardScaler"],
        estimator="sklearn.ensemble.RandomForestClassifier",
        options=TREES,
    )
    assert list(package.files) == ["model.onnx"]


def test_a_converter_that_is_silently_wrong_is_found_out() -> None:
    package = _package(
        estimator="sklearn.ensemble.HistGradientBoostingClassifier",
        categories="codes",
        options={"categorical_features": ["soil"]},
    )
    assert list(package.files) == ["model.pkl"]
    assert "differs from the estimator" in package.signature.parity.note
    assert package.signature.runtime == "pickle"


def test_what_has_no_converter_is_served_as_a_pickle_and_says_so() -> None:
    package = _package(
        numbers=["sklearn.impute.SimpleImputer", "sklearn.preprocessing.SplineTransformer"],
        estimator="sklearn.linear_model.LogisticRegression",
    )
    assert list(package.files) == ["model.pkl"]
    assert "no ONNX converter" in package.signature.parity.note


def test_a_preprocessor_of_ones_own_works_and_is_served_as_a_pickle() -> None:
    package = _package(
        preprocessors=f"{as_own(__name__)}.Ratio", estimator="xgboost.XGBClassifier", options=TREES
    )
    assert (
        "no ONNX converter for Ratio: give the class a method `plain`"
        in package.signature.parity.note
    )


@pytest.mark.parametrize(
    "how",
    [
        {"preprocessors": "Scaled", "estimator": "xgboost.XGBClassifier", "options": TREES},
        {"numbers": "Scaled", "estimator": "xgboost.XGBClassifier", "options": TREES},
        {"estimator": "Cautious", **SEEN},
    ],
    ids=["a preprocessor", "a step of numbers", "an estimator"],
)
def test_a_class_of_ones_own_that_says_what_does_the_same_is_exported_as_onnx(
    how: dict[str, Any],
) -> None:
    package = _package(**{key: _as_own(value) for key, value in how.items()})
    assert package.signature.parity.note == ""
    assert list(package.files) == ["model.onnx"]


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"numbers": "Rooted", "estimator": "xgboost.XGBClassifier", "options": TREES}, "Rooted"),
        ({"estimator": "Silent", **SEEN}, "Silent"),
    ],
    ids=["a step of numbers", "an estimator"],
)
def test_a_class_of_ones_own_that_has_no_converter_is_told_the_way_to_one(
    how: dict[str, Any], named: str
) -> None:
    package = _package(**{key: _as_own(value) for key, value in how.items()})
    assert package.signature.runtime == "pickle"
    assert f"no ONNX converter for {named}: " in package.signature.parity.note
    assert "give the class a method `plain`" in package.signature.parity.note


def _as_own(value: Any) -> Any:
    """Return the import path of a class of this module, and anything else as it is."""
    here = isinstance(value, str) and value in globals()
    return f"{as_own(__name__)}.{value}" if here else value


def test_a_graph_that_the_checker_refuses_is_no_graph() -> None:
    estimator = "sklearn.gaussian_process.GaussianProcessClassifier"
    package = _package(estimator=estimator, **SEEN)
    assert list(package.files) == ["model.pkl"]
    assert "the ONNX graph is not valid" in package.signature.parity.note


def test_where_a_graph_is_required_nothing_else_is_exported() -> None:
    estimator, proof = _fitted(
        estimator="sklearn.neighbors.NearestCentroid", onnx="required", **SEEN
    )
    with pytest.raises(ExportError, match="no ONNX converter for NearestCentroid"):
        packaged(estimator, _draft("binary"), proof)


def test_an_estimator_of_an_engine_is_packaged_for_the_runtime_that_it_names() -> None:
    estimator, proof = _fitted(estimator="sklearn.neighbors.NearestCentroid", **SEEN)
    package = packaged(OfAnEngine(estimator), _draft("binary"), proof)
    assert list(package.files) == ["engine.pkl"]
    assert package.signature.runtime == "pickle"
    assert "no ONNX converter for OfAnEngine" in package.signature.parity.note


def test_columns_can_be_dropped_in_the_graph() -> None:
    package = _package(
        preprocessors={
            "class": "treeline.trainers.preprocessors.DropColumns",
            "options": {"columns": ["height", "soil"]},
        },
        estimator="sklearn.linear_model.LogisticRegression",
    )
    assert list(package.files) == ["model.onnx"]


def test_an_estimator_without_probabilities_gives_labels_only() -> None:
    package = _package(estimator="sklearn.svm.LinearSVC", **SEEN)
    assert package.signature.parity.note == ""
    assert not package.signature.probabilities
    (payload,) = package.files.values()
    found = OnnxRuntime.load({"model.onnx": payload}).predict(encoded(_rows(), FEATURES).to_numpy())
    assert found.scores is None and found.labels is not None and found.labels.shape == (400,)


def test_a_lone_onnx_file_is_complete() -> None:
    package = _package(estimator="xgboost.XGBClassifier", options=TREES)
    carried = OnnxRuntime.load(package.files).embedded_signature()
    assert carried is not None
    assert Signature.parse(carried, place="model.onnx") == package.signature


def test_the_same_estimator_has_the_same_bytes_and_version() -> None:
    one, two = (_package(estimator="xgboost.XGBClassifier", options=TREES) for _ in range(2))
    assert one == two


def test_another_contract_is_another_version() -> None:
    one = _package(estimator="xgboost.XGBClassifier", options=TREES).signature
    renamed = {**FEATURES, "light": FEATURES["light"].model_copy(update={"maximum": 2.0})}

    versions = {version_of(b"graph", features=f, target=one.target) for f in (FEATURES, renamed)}
    assert len(versions) == 2
