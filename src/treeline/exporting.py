"""Champion + test split + record → signature and files, proved to predict as the champion does."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treeline.artifact.encoding import Matrix
from treeline.artifact.features import Feature, Value
from treeline.artifact.onnx import OnnxRuntime
from treeline.artifact.pickled import PickleRuntime, predict
from treeline.artifact.prediction import Prediction
from treeline.artifact.signature import Example, Parity, Signature, version_of
from treeline.artifact.store import scores_of
from treeline.conversion import converted, plain_bytes, sealed
from treeline.errors import ExportError

ONNX_FILE, PICKLE_FILE = "model.onnx", "model.pkl"


@dataclass(frozen=True)
class Proof:
    """The test split as a model sees it, and how closely an artifact must repeat its estimator.

    `matrix` is float32 of shape (n_rows, n_features); `first` is its first row as a caller would
    send it. `tolerance` is absolute for probabilities, and for values relative to their size where
    that is above 1.
    """

    matrix: Matrix
    first: dict[str, Value | None]
    tolerance: float


@dataclass(frozen=True)
class Package:
    """What is to be written: the signature, and the files of the artifact by name."""

    signature: Signature
    files: dict[str, bytes]


def packaged(estimator: Any, draft: dict[str, Any], proof: Proof) -> Package:
    """Turn an estimator into an artifact: ONNX where that repeats it, else the pickle itself.

    `draft` holds the fields of the signature that are known before the artifact is.
    """
    try:
        return _as_onnx(estimator, draft, proof)
    except ExportError as error:
        return _as_pickle(estimator, draft, proof, note=str(error))


def _as_onnx(estimator: Any, draft: dict[str, Any], proof: Proof) -> Package:
    graph = converted(estimator)
    payload = plain_bytes(graph)
    found = OnnxRuntime.load({ONNX_FILE: payload}).predict(proof.matrix)
    parity = compared(predict(estimator, proof.matrix), found, tolerance=proof.tolerance)
    if parity.labels_differing or parity.largest_difference > parity.tolerance:
        raise ExportError(
            f"the ONNX graph differs from the estimator by up to {parity.largest_difference:.2g} "
            f"({parity.tolerance:g} is allowed), and in {parity.labels_differing} of "
            f"{parity.rows} labels"
        )
    shown = {"runtime": "onnx", "parity": parity, **_shown(proof, found)}
    signature = _signed({**draft, **shown}, payload)
    return Package(signature, {ONNX_FILE: sealed(graph, signature.embedded())})


def _as_pickle(estimator: Any, draft: dict[str, Any], proof: Proof, *, note: str) -> Package:
    payload = pickle.dumps(estimator)
    found = PickleRuntime.load({PICKLE_FILE: payload}).predict(proof.matrix)
    parity = compared(predict(estimator, proof.matrix), found, tolerance=proof.tolerance)
    told = parity.model_copy(update={"note": f"served as a pickle: {note}"})
    shown = {"runtime": "pickle", "parity": told, **_shown(proof, found)}
    return Package(_signed({**draft, **shown}, payload), {PICKLE_FILE: payload})


def compared(expected: Prediction, found: Prediction, *, tolerance: float) -> Parity:
    """Compare predictions for the same rows, whose scores have shape (n_rows, n_classes)."""
    if expected.values is not None:
        assert found.values is not None  # both come from the same task
        scale = np.maximum(np.abs(expected.values), 1)
        difference = float(np.max(np.abs(expected.values - found.values) / scale))
        return Parity(
            rows=len(expected.values), largest_difference=_short(difference), tolerance=tolerance
        )
    assert expected.labels is not None and found.labels is not None
    difference = 0.0
    if expected.scores is not None and found.scores is not None:
        difference = float(np.max(np.abs(expected.scores - found.scores)))
    return Parity(
        rows=len(expected.labels),
        largest_difference=_short(difference),
        tolerance=tolerance,
        labels_differing=int(np.sum(expected.labels != found.labels)),
    )


def first_record(test: pd.DataFrame, features: dict[str, Feature]) -> dict[str, Value | None]:
    """Return the first prepared row as a caller would send it, missing values as None."""
    row = test[list(features)].astype("object").iloc[0]
    return {name: None if pd.isna(row[name]) else row[name] for name in features}


def _shown(proof: Proof, found: Prediction) -> dict[str, Any]:
    """Return what the signature says of the predictions of the test split."""
    scores = tuple(round(score, 7) for score in scores_of(found))
    return {
        "probabilities": found.scores is not None,
        "example": Example(record=proof.first, scores=scores),
    }


def _signed(fields: dict[str, Any], payload: bytes) -> Signature:
    version = version_of(payload, features=fields["features"], target=fields["target"])
    return Signature(**fields, version=version)


def _short(value: float) -> float:
    return float(f"{value:.3g}")
