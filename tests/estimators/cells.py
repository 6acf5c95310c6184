"""An estimator and a kind of input → how it is served, held to what the estimator answers.

Rows are drawn here by another rule than the one by which the export proves a graph.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.drafts import draft
from treeline.artifact import RUNTIMES, Prediction, Runtime
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate
from treeline.contract.features import Feature, Task
from treeline.errors import TrainingError
from treeline.export.admitted import check_missing
from treeline.export.packaging import Package, Proof, packaged
from treeline.registry import load_class, resolve
from treeline.trainers.compare import candidate_of, contenders
from treeline.trainers.pipeline import build

SENT = 1500
BESIDES = {  # what can be declared, and `compare` leaves out
    "binary": (
        "sklearn.calibration.CalibratedClassifierCV",
        "sklearn.linear_model.LogisticRegressionCV",
        "sklearn.tree.ExtraTreeClassifier",
    ),
    "regression": (
        "sklearn.linear_model.LassoCV",
        "sklearn.linear_model.RidgeCV",
        "sklearn.tree.ExtraTreeRegressor",
    ),
}
TOLERANCE = 1e-5
NUMBERS = {
    "light": Feature(type="number", minimum=0, maximum=1),
    "height": Feature(type="number"),
    "depth": Feature(type="number"),
}
CODED = {
    "light": Feature(type="number", minimum=0, maximum=1),
    "soil": Feature(type="category", categories=("clay", "loam", "sand", "silt")),
    "wet": Feature(type="boolean"),
}
GAPS = {
    "light": Feature(type="number", minimum=0, maximum=1),
    "height": Feature(type="number", nullable=True),
    "soil": Feature(type="category", categories=("clay", "loam", "sand"), nullable=True),
}
LARGE = {
    "count": Feature(type="integer", minimum=0, maximum=2**24),
    "income": Feature(type="number", minimum=0),
}
TIED = {"age": Feature(type="integer", minimum=0, maximum=3), "half": Feature(type="number")}


@dataclass(frozen=True)
class Kind:
    """A kind of input: its features, how many rows there are to learn from, what they lack."""

    features: dict[str, Feature]
    rows: int = 200
    missing: float = 0
    classes: int = 2
    categories: str | None = None
    numbers: str | None = None
    scale: float = 1


KINDS = {
    "numbers": Kind(NUMBERS),
    "few rows": Kind(NUMBERS, rows=24),
    "many rows": Kind(NUMBERS, rows=1000),
    "robust scaler": Kind(NUMBERS, numbers="sklearn.preprocessing.RobustScaler"),
    "one-hot": Kind(CODED, categories="onehot"),
    "codes": Kind(CODED, categories="codes"),
    "missing": Kind(GAPS, missing=0.2),
    "missing in service": Kind(GAPS),
    "large integers": Kind(LARGE),
    "ties": Kind(TIED),
    "five classes, large values": Kind(NUMBERS, classes=5, scale=1e5),
}


def drawn(kind: Kind, count: int, *, seed: int, missing: float) -> NDArray[np.float32]:
    """Return codes of rows that a contract admits, float32 of shape (count, n_features)."""
    rng = np.random.default_rng(seed)
    draws = {
        "light": lambda: rng.random(count),
        "height": lambda: rng.normal(20, 5, count).round(1),
        "depth": lambda: rng.lognormal(1, 1, count),
        "count": lambda: rng.integers(0, 2**24 + 1, count),
        "income": lambda: rng.lognormal(10, 1, count).round(2),
        "age": lambda: rng.integers(0, 4, count),
        "half": lambda: rng.integers(0, 4, count) / 2,
        "wet": lambda: rng.integers(0, 2, count),
        "soil": lambda: rng.integers(0, len(kind.features["soil"].categories), count),
    }
    rows = np.column_stack([draws[name]() for name in kind.features]).astype(np.float32)
    for place, feature in enumerate(kind.features.values()):
        if feature.nullable:
            rows[rng.random(count) < missing, place] = np.nan
    return rows


def cases() -> list[tuple[Task, str]]:
    """Return the estimators by their import paths, each with a task that it is for."""
    tasks: tuple[Task, ...] = ("binary", "regression")
    return [(task, path) for task in tasks for path in sorted(classes_of(task), key=_name)]


def classes_of(task: Task) -> dict[str, type]:
    """Return the classes for a task by their import paths."""
    kind = "regression" if task == "regression" else "binary"
    more = {path: load_class(path, place="here") for path in BESIDES[kind]}
    return {**contenders(task, scores=False), **more}


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def served(task: Task, path: str, name: str) -> str:
    """Return how an estimator is served for a kind of input, and why so.

    Raises AssertionError where what is served answers otherwise than the estimator.
    """
    kind = KINDS[name]
    if task == "binary" and kind.classes > 2:
        task = "multiclass"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of few rows and of defaults
        try:
            rows, estimator = _fitted(task, path, kind)
        except Exception as error:  # whatever its library raises, which training tells
            return f"refused: {_short(error)}"
        try:
            check_missing(estimator, rows[:1], kind.features, place="here")
        except TrainingError:
            return "refused: it has no answer to a missing value"
        package = _packaged(task, estimator, rows[:100], kind)
        sent = drawn(kind, SENT, seed=9, missing=0.3)
        runtime: Runtime = resolve(RUNTIMES, package.signature.runtime, place="here")
        found = runtime.load(package.files).predict(sent)
        _check_equal(predict(estimator, sent), found)
    note = package.signature.parity.note
    return "ONNX" if package.signature.runtime == "onnx" else f"pickle: {_reason(note)}"


def _fitted(task: Task, path: str, kind: Kind) -> tuple[NDArray[np.float32], Any]:
    made = classes_of(task)[path]
    given = Candidate(
        trainer="compare",
        **{
            key: value
            for key, value in (("categories", kind.categories), ("numbers", kind.numbers))
            if value is not None
        },
    )
    learns = {
        each: feature.model_copy(update={"nullable": feature.nullable and kind.missing > 0})
        for each, feature in kind.features.items()
    }
    candidate = candidate_of(path, made, learns, given)
    rows = drawn(kind, kind.rows, seed=1, missing=kind.missing)
    estimator = build(candidate, kind.features, seed=0, place="here")
    return rows, estimator.fit(rows, _target(task, rows, kind))


def _target(task: Task, rows: NDArray[np.float32], kind: Kind) -> NDArray[Any]:
    known = np.nan_to_num(rows)
    spread = np.where(known.std(axis=0) > 0, known.std(axis=0), 1)
    signal = ((known - known.mean(axis=0)) / spread).sum(axis=1)
    signal += np.random.default_rng(2).normal(0, 0.5, len(rows))
    if task == "regression":
        shifted = signal - signal.min() + 1  # some take positive values alone
        return np.asarray(shifted * kind.scale, np.float64)
    return np.argsort(np.argsort(signal)) * kind.classes // len(rows)


def _packaged(task: Task, estimator: Any, rows: NDArray[np.float32], kind: Kind) -> Package:
    classes = tuple(f"class {number}" for number in range(kind.classes))
    proof = Proof(matrix=rows, first={}, tolerance=TOLERANCE, features=kind.features)
    return packaged(estimator, draft(task, kind.features, classes), proof)


def _check_equal(expected: Prediction, found: Prediction) -> None:
    if expected.values is not None:
        assert found.values is not None
        values = np.ravel(expected.values)
        scale = np.maximum(1, np.abs(values))
        worst = float(np.max(np.abs(np.ravel(found.values) - values) / scale))
        assert worst <= TOLERANCE, f"a value differs by {worst:.2g}"
        return
    assert expected.labels is not None and found.labels is not None
    differing = int(np.sum(found.labels != expected.labels))
    assert not differing, f"{differing} of {SENT} labels differ"
    if expected.scores is not None:
        assert found.scores is not None
        worst = float(np.max(np.abs(found.scores - expected.scores)))
        assert worst <= TOLERANCE, f"a score differs by {worst:.2g}"


def _short(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    for part, words in REFUSALS.items():
        if part in text:
            return words
    return text[:60]


REFUSALS = {
    "not full rank": "columns that add up to one have no inverse",
    "NaN": "it takes no missing value",
}


def _reason(note: str) -> str:
    for part, words in (
        ("no ONNX converter", "no converter"),
        ("is not valid", "the graph is not valid"),
        ("cannot be run", "the graph cannot be run"),
        ("differs", "the graph would differ"),
    ):
        if part in note:
            return words
    return note
