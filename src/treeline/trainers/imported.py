"""Imported trainer: a fitted model that was brought as an ONNX graph → judged as it is.

`treeline import` makes the graph, with what it takes and knows written inside. Nothing is fitted
here: each fold is predicted by the model as it came. What it has learnt from is not known, so that
its figures on these rows are too good where they are among that.
"""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.artifact.onnx import OnnxRuntime
from treeline.artifact.pickled import predict
from treeline.config.blocks import Imported
from treeline.config.models import Candidate, Search
from treeline.contract.features import Feature, Label
from treeline.errors import ArtifactRejectedError, TrainingError
from treeline.evaluation.metrics import score
from treeline.trainers import Fitted, TrainingSet, Trial

ORIGIN = "treeline.imported"  # the key of what a graph says of itself


class ImportedModel:
    """A fitted model as the stages pass it on: its graph, and what predicts with it."""

    def __init__(self, graph: bytes, *, classes: int, probabilities: bool) -> None:
        """Take a graph as `treeline.artifact.onnx` describes it; no `classes` in a regression."""
        self.graph = graph
        self.classes = classes
        self.probabilities = probabilities
        self._runtime: OnnxRuntime | None = None

    def predict(self, frame: Any) -> NDArray[Any]:
        """Return codes or values of shape (n_rows,) for codes of shape (n_rows, n_features)."""
        prediction = self._predicted(frame)
        return np.asarray(prediction.values if prediction.labels is None else prediction.labels)

    def __getattr__(self, name: str) -> Any:
        if name == "classes_" and self.__dict__.get("classes"):
            return np.arange(self.classes)
        if name == "predict_proba" and self.__dict__.get("probabilities"):
            return self._scores
        raise AttributeError(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runtime": None}

    def _scores(self, frame: Any) -> NDArray[Any]:
        return np.asarray(self._predicted(frame).scores)

    def _predicted(self, frame: Any) -> Prediction:
        if self._runtime is None:
            self._runtime = OnnxRuntime.load({"imported.onnx": self.graph})
        return self._runtime.predict(np.ascontiguousarray(frame, dtype=np.float32))


def described(
    features: dict[str, Feature], classes: tuple[Label, ...], *, made: str
) -> dict[str, Any]:
    """Return what a graph says of itself: the columns of its matrix, its classes, its origin."""
    columns = {
        name: {"type": feature.type, "categories": list(feature.categories)}
        for name, feature in features.items()
    }
    return {"features": columns, "classes": list(classes), "made": made}


class ImportedTrainer:
    """Judges a model that was fitted elsewhere."""

    def fit(
        self,
        training: TrainingSet,
        *,
        candidate: Candidate,
        search: Search,
        metric: str,
        place: str,
    ) -> Fitted:
        """Open the graph and predict each fold; raises TrainingError naming `place`."""
        started = time.perf_counter()
        declared = Imported.model_validate(candidate.options)
        payload = _read(declared, place)
        says, outputs = _opened(payload, place)
        _check(says, training, place)
        estimator = ImportedModel(
            payload, classes=len(training.classes), probabilities="scores" in outputs
        )
        best = Trial(declared.model_dump(), _folds(estimator, training, place))
        return Fitted(
            estimator=estimator,
            best=best,
            trials=[best],
            seconds=time.perf_counter() - started,
            chosen=says["made"],
        )

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with an imported model for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


def _read(declared: Imported, place: str) -> bytes:
    path = Path(declared.path)
    if not path.is_file():
        raise TrainingError(f"{place}.options.path: {path} is not there; fetch it: dvc pull {path}")
    payload = path.read_bytes()
    actual = hashlib.sha256(payload).hexdigest()
    if actual != declared.sha256:
        raise TrainingError(
            f"{place}.options.sha256: {path} has {actual}, not what is declared; fetch the right "
            "one with dvc pull, or declare a new model by treeline import"
        )
    return payload


def _opened(payload: bytes, place: str) -> tuple[dict[str, Any], set[str]]:
    """Return what a graph says of itself, and the names of its outputs."""
    try:
        OnnxRuntime.load({"imported.onnx": payload})
        graph = onnx.load_from_string(payload)
        (text,) = (each.value for each in graph.metadata_props if each.key == ORIGIN)
        says: dict[str, Any] = json.loads(text)
    except (ArtifactRejectedError, ValueError) as error:
        raise TrainingError(f"{place}.options.path: no graph of treeline import: {error}") from None
    return says, {output.name for output in graph.graph.output}


def _check(says: dict[str, Any], training: TrainingSet, place: str) -> None:
    """Raise TrainingError where a declaration means other columns or classes than the graph."""
    now = described(training.features, training.classes, made=says["made"])
    for name, text in (("features", "columns, types or categories"), ("classes", "classes")):
        before, declared = (json.dumps(each[name]) for each in (says, now))
        if before != declared:
            raise TrainingError(
                f"{place}: the model was imported with other {text}, or in another order: "
                f"{before}, and declared is {declared}; declare these, or import it again"
            )


def _folds(estimator: ImportedModel, training: TrainingSet, place: str) -> dict[str, list[float]]:
    """Return each metric on each fold, whose rows are predicted by the model as it came."""
    frame = training.frame.to_numpy()
    scores: dict[str, list[float]] = {}
    for _, rows in training.folds:
        try:
            prediction = predict(estimator, frame[rows])
        except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
            raise TrainingError(f"{place}: the imported model failed: {error}") from error
        for name, value in score(training.target[rows], prediction, training.metrics).items():
            scores.setdefault(name, []).append(value)
    return scores
