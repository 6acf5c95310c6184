"""Champion + test split + record → signature and files, proved to predict as the champion does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from treeline.artifact import RUNTIMES, Prediction, Runtime, setting_of
from treeline.artifact.onnx import OnnxRuntime
from treeline.artifact.pickled import pickled, predict
from treeline.artifact.store import scores_of
from treeline.config.blocks import Onnx
from treeline.config.models import ModelSpec
from treeline.contract.encoding import Matrix
from treeline.contract.features import Feature, Value
from treeline.contract.signature import Example, Parity, Signature, version_of
from treeline.errors import ExportError
from treeline.export.admitted import Admitted, admitted
from treeline.export.conversion import converted, plain_bytes, sealed
from treeline.preparation.encoding import encoded
from treeline.records.evaluation import Graph
from treeline.registry import resolve

MOST_SPLITS = 1200  # that are looked for; with more, as many of each column as there is room for

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """The splits of one tree ensemble: its columns, int64 of shape (n,), and doubles of (n,)."""

    columns: NDArray[np.int64]
    thresholds: NDArray[np.float64]


def splits_of(graph: onnx.ModelProto) -> Splits:
    """Return the different splits of the trees of a graph.

    A column is that of the matrix which the trees are given.
    """
    columns, thresholds = [np.zeros(0, np.int64)], [np.zeros(0)]
    for node in graph.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        given = {attribute.name: attribute for attribute in node.attribute}
        values = np.array(given["nodes_values"].floats if "nodes_values" in given else ())
        if "nodes_values_as_tensor" in given:
            values = onnx.numpy_helper.to_array(given["nodes_values_as_tensor"].t)
        branch = np.array([mode != b"LEAF" for mode in given["nodes_modes"].strings])
        columns.append(np.array(given["nodes_featureids"].ints, np.int64)[branch])
        thresholds.append(values.astype(np.float64)[branch])
    pairs = np.unique(
        np.column_stack([np.concatenate(columns).astype(np.float64), np.concatenate(thresholds)]),
        axis=0,
    )
    return Splits(pairs[:, 0].astype(np.int64), pairs[:, 1])


def crossings(
    pipeline: Pipeline, graph: onnx.ModelProto, matrix: Matrix, features: Mapping[str, Feature]
) -> dict[str, NDArray[np.float32]]:
    """Return, by feature, the last float32 before each split of its own that a row can cross.

    `matrix` is float32 of shape (n_rows, n_features), at least one row, of which the first stands
    for the other features. Whole numbers do not come close to a split, and are left out.
    """
    splits = splits_of(graph)
    places = [at for at, each in enumerate(features.values()) if _is_continuous(each)]
    if not (places and len(splits.columns)):
        return {}
    ends = [_ends(matrix[:, at], list(features.values())[at]) for at in places]
    low, high = np.array(ends, np.float32).T
    behind = _Behind(pipeline, matrix[:1])
    first, last = behind.rows(places, low), behind.rows(places, high)
    pairs = [
        (number, split)
        for number in range(len(places))
        for split in _between(first[number], last[number], splits)
    ]
    if not pairs:
        return {}
    some = np.linspace(0, len(pairs) - 1, min(MOST_SPLITS, len(pairs))).astype(int)
    which, split = np.array(pairs)[some].T
    columns, limit = splits.columns[split], splits.thresholds[split]
    rising = last[which, columns] > first[which, columns]
    below, above = _keys(low[which]), _keys(high[which])
    while (above - below > 1).any():
        middle = (below + above) // 2
        rows = behind.rows(np.array(places)[which], _floats(middle))
        values = rows[np.arange(len(rows)), columns]
        before = np.where(rising, values <= limit, values > limit)
        below, above = np.where(before, middle, below), np.where(before, above, middle)
    names = list(features)
    return {
        names[places[number]]: np.unique(_floats(below[which == number]))
        for number in np.unique(which).tolist()
    }


class _Behind:
    """What the steps before an estimator make of a row in which one feature changes."""

    def __init__(self, pipeline: Pipeline, row: Matrix) -> None:
        self._steps, self._row = pipeline[:-1], row

    def rows(self, places: Any, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the rows, shape (n_values, n_columns); `places` says which feature is changed."""
        matrix = np.repeat(self._row, len(values), axis=0)
        matrix[np.arange(len(values)), places] = values
        return np.asarray(self._steps.transform(matrix), dtype=np.float64)


def _is_continuous(feature: Feature) -> bool:
    return feature.kind.holds == "number" and not feature.kind.whole


def _ends(column: NDArray[np.float32], feature: Feature) -> tuple[np.float32, np.float32]:
    """Return the least and largest value: what is declared, or else what is there."""
    known = column[np.isfinite(column)]
    least, most = (known.min(), known.max()) if len(known) else (np.float32(0), np.float32(0))
    low = least if feature.minimum is None else np.float32(feature.minimum)
    high = most if feature.maximum is None else np.float32(feature.maximum)
    return low, high


def _between(
    first: NDArray[np.float64], last: NDArray[np.float64], splits: Splits
) -> NDArray[np.int64]:
    """Return the splits that lie between two rows in their own column."""
    inside = splits.columns < len(first)
    columns = np.where(inside, splits.columns, 0)
    low = np.minimum(first, last)[columns]
    high = np.maximum(first, last)[columns]
    return np.flatnonzero(inside & (splits.thresholds >= low) & (splits.thresholds < high))


def _keys(values: NDArray[np.float32]) -> Keys:
    """Return whole numbers in the order of float32 values, neighbours being one apart."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _floats(keys: Keys) -> NDArray[np.float32]:
    bits = np.where(keys < 0, -keys | 0x80000000, keys).astype(np.uint32)
    return bits.view(np.float32)


ONNX_FILE, PICKLE_FILE = "model.onnx", "model.pkl"
PICKLE = "pickle"  # the runtime of every estimator that has none of its own


@dataclass(frozen=True)
class Proof:
    """The test split as a model sees it, and how closely an artifact must repeat its estimator.

    `matrix` is float32 of shape (n_rows, n_features); `first` is its first row as a caller would
    send it. `tolerance` is absolute for probabilities, and for values relative to their size where
    that is above 1. With `onnx` "required" nothing but a graph will do.
    """

    matrix: Matrix
    first: dict[str, Value | None]
    tolerance: float
    features: Mapping[str, Feature]
    onnx: Onnx = "preferred"

    @classmethod
    def of(cls, test: pd.DataFrame, spec: ModelSpec) -> Self:
        """Return what the prepared test split of a declared model asks."""
        return cls(
            matrix=encoded(test, spec.features).to_numpy(),
            first=first_record(test, spec.features),
            tolerance=spec.export.tolerance,
            features=spec.features,
            onnx=spec.export.onnx,
        )


@dataclass(frozen=True)
class Package:
    """What is to be written: the signature, and the files of the artifact by name."""

    signature: Signature
    files: dict[str, bytes]


def packaged(estimator: Any, draft: dict[str, Any], proof: Proof) -> Package:
    """Turn an estimator into an artifact: ONNX where that repeats it, else a runtime of its own.

    An estimator of an engine names that runtime (`runtime`, and `artifact_files()` for what it
    needs); any other is pickled. `draft` holds the fields of the signature that are known before
    the artifact is. Raises ExportError where ONNX is required, or an engine repeats nothing.
    """
    try:
        graph, parity, prediction = _repeated(estimator, proof)
    except ExportError as error:
        if proof.onnx == "required":
            raise
        return _as_itself(estimator, draft, proof, note=str(error))
    shown = {"runtime": "onnx", "parity": parity, **_shown(proof, prediction)}
    signature = _signed({**draft, **shown}, plain_bytes(graph))
    return Package(signature, {ONNX_FILE: sealed(graph, signature.embedded())})


def graph_agreement(estimator: Any, test: pd.DataFrame, spec: ModelSpec) -> Graph:
    """Return for the gate how closely an ONNX graph repeats an estimator, or why none does.

    `test` is the prepared test split. Returns `rows` and `largest_difference`, or `missing`.
    """
    return repeated(estimator, Proof.of(test, spec))


def repeated(estimator: Any, proof: Proof) -> Graph:
    """Return the same for the rows of a proof."""
    try:
        _, parity, _ = _repeated(estimator, proof)
    except ExportError as error:
        return {"missing": str(error)}
    return {"rows": parity.rows, "largest_difference": parity.largest_difference}


def _repeated(estimator: Any, proof: Proof) -> tuple[onnx.ModelProto, Parity, Prediction]:
    graph = converted(estimator)
    try:
        runtime = OnnxRuntime.load({ONNX_FILE: plain_bytes(graph)})
        prediction = runtime.predict(proof.matrix)
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        raise ExportError(f"the ONNX graph cannot be run: {error}") from error
    parity = compared(predict(estimator, proof.matrix), prediction, tolerance=proof.tolerance)
    _refuse_difference("the ONNX graph", parity)
    splits = {}
    if isinstance(estimator, Pipeline):  # what is a graph itself has no other side
        splits = crossings(estimator, graph, proof.matrix, proof.features)
    made = admitted(proof.matrix, proof.features, splits=splits)
    _refuse_admitted(estimator, runtime, made, tolerance=proof.tolerance)
    return graph, parity.model_copy(update={"admitted_rows": len(made)}), prediction


def _refuse_admitted(
    estimator: Any, runtime: OnnxRuntime, made: Admitted, *, tolerance: float
) -> None:
    """Raise ExportError where a graph differs on a row that callers may send."""
    if not len(made):
        return
    expected, given = predict(estimator, made.matrix), runtime.predict(made.matrix)
    if _repeats(compared(expected, given, tolerance=tolerance)):
        return
    rows_of: dict[str, list[int]] = {}
    for row, kind in enumerate(made.kinds):
        rows_of.setdefault(kind, []).append(row)
    for kind, listed in rows_of.items():
        rows = np.array(listed)
        parity = compared(_some(expected, rows), _some(given, rows), tolerance=tolerance)
        _refuse_difference(f"with {kind}, the ONNX graph", parity)


def _some(prediction: Prediction, rows: NDArray[np.int64]) -> Prediction:
    parts = (prediction.labels, prediction.scores, prediction.values)
    return Prediction(*(None if part is None else part[rows] for part in parts))


def _as_itself(estimator: Any, draft: dict[str, Any], proof: Proof, *, note: str) -> Package:
    """Package what no graph repeats for the runtime of its engine, or as a pickle."""
    name, files = PICKLE, {}
    if hasattr(estimator, "runtime"):
        name, files = estimator.runtime, estimator.artifact_files()
    else:
        files[PICKLE_FILE] = pickled(estimator)
    runtime: Runtime = resolve(RUNTIMES, name, place="export").load(files)
    prediction = runtime.predict(proof.matrix)
    parity = compared(predict(estimator, proof.matrix), prediction, tolerance=proof.tolerance)
    served = "served as a pickle"
    admitted = f", where {setting_of(name)}=1 admits it"
    if name != PICKLE:
        _refuse_difference(f"the model in the {name} runtime", parity)
        served = f"served by the {name} runtime"
    noted = parity.model_copy(update={"note": f"{served}{admitted}: {note}"})
    shown = {"runtime": name, "parity": noted, **_shown(proof, prediction)}
    payload = b"".join(files[each] for each in sorted(files))
    return Package(_signed({**draft, **shown}, payload), files)


def _repeats(parity: Parity) -> bool:
    """Tell whether an artifact repeats its estimator closely enough."""
    return not parity.labels_differing and parity.largest_difference <= parity.tolerance


def _refuse_difference(what: str, parity: Parity) -> None:
    if not _repeats(parity):
        raise ExportError(
            f"{what} differs from the estimator by up to {parity.largest_difference:.2g} "
            f"({parity.tolerance:g} is allowed), and in {parity.labels_differing} of "
            f"{parity.rows} labels"
        )


def compared(expected: Prediction, given: Prediction, *, tolerance: float) -> Parity:
    """Compare predictions for the same rows, whose scores have shape (n_rows, n_classes)."""
    if expected.values is not None:
        assert given.values is not None  # both come from the same task
        scale = np.maximum(np.abs(expected.values), 1)
        difference = float(np.max(np.abs(expected.values - given.values) / scale))
        return Parity(
            rows=len(expected.values), largest_difference=_short(difference), tolerance=tolerance
        )
    assert expected.labels is not None and given.labels is not None
    difference = 0.0
    if expected.scores is not None and given.scores is not None and len(given.scores):
        difference = float(np.max(np.abs(expected.scores - given.scores)))
    return Parity(
        rows=len(expected.labels),
        largest_difference=_short(difference),
        tolerance=tolerance,
        labels_differing=int(np.sum(expected.labels != given.labels)),
    )


def first_record(test: pd.DataFrame, features: dict[str, Feature]) -> dict[str, Value | None]:
    """Return the first prepared row as a caller would send it, missing values as None."""
    row = test[list(features)].astype("object").iloc[0]
    return {name: None if pd.isna(row[name]) else row[name] for name in features}


def _shown(proof: Proof, prediction: Prediction) -> dict[str, Any]:
    """Return what the signature says of the predictions of the test split."""
    scores = tuple(round(score, 7) for score in scores_of(prediction))
    return {
        "probabilities": prediction.scores is not None,
        "example": Example(record=proof.first, scores=scores),
    }


def _signed(fields: dict[str, Any], payload: bytes) -> Signature:
    version = version_of(
        payload,
        features=fields["features"],
        target=fields["target"],
        missing=fields.get("missing", ()),
        key=fields.get("key"),
    )
    return Signature(**fields, version=version)


def _short(value: float) -> float:
    return float(f"{value:.3g}")
