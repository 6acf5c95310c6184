"""Models with a signature, over the Open Inference Protocol: one tensor per feature.

The outputs have the names that the answer to one record uses. A row is answered the same, to the
last bit, as it is alone. A problem names the row and the feature: `row 3: Light_ISF`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from api.contract.faults import MAX_PROBLEMS
from api.contract.schemas import feature_schema
from api.errors import UnusableAnswerError
from api.formats.tensors import BOOL, BYTES, Array, Tensor
from api.http.ids import new_id
from api.inference.parts import predict, predict_apart
from api.inference.record import Predictor
from treeline.artifact import Prediction
from treeline.contract.admission import admit, matched, value_at
from treeline.contract.encoding import Matrix, Record
from treeline.contract.features import Feature
from treeline.contract.kinds import Column, Holds
from treeline.contract.problems import listed
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem

ROUNDED = frozenset({"FP16", "FP32"})


def columns_of(
    features: Mapping[str, Feature], inputs: Mapping[str, Tensor]
) -> tuple[int, dict[str, Column]]:
    """Return the number of rows and the column of each feature that is sent.

    Raises InvalidInputError when one is missing, unknown, of another datatype or another length.
    """
    known = listed(features)
    problems = [
        Problem(name, f"is not a feature of this model; its features are: {known}")
        for name in inputs
        if name not in features
    ]
    lengths: dict[str, int] = {}
    for name, feature in features.items():
        if name in inputs:
            problems += _misfits(inputs[name], feature)
            lengths[name] = inputs[name].array.size
        elif not feature.optional:
            problems.append(Problem(name, f"is missing; give {feature.describe()}"))
    if len(set(lengths.values())) > 1:
        lengths_by_name = listed([f"{name} {length}" for name, length in lengths.items()])
        problems.append(Problem("inputs", f"differ in their number of rows: {lengths_by_name}"))
    if problems:
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    columns = {name: column_of(inputs[name], features[name]) for name in lengths}
    return next(iter(lengths.values())), columns


def admitted(columns: Mapping[str, Column], features: Mapping[str, Feature], count: int) -> Matrix:
    """Return the codes of all rows; raises InvalidInputError with what is wrong with the first."""
    admission = admit(columns, features, n_rows=count)
    problems: list[Problem] = []
    for row in np.flatnonzero(admission.counts()).tolist():
        problems += [
            Problem(f"row {row + 1}: {each.place}", each.message, each.value, each.admitted)
            for each in admission.problems(row)
        ]
        if len(problems) >= MAX_PROBLEMS:
            more = Problem("inputs", "and there may be more problems")
            raise InvalidInputError([*problems[:MAX_PROBLEMS], more])
    if problems:
        raise InvalidInputError(problems)
    return admission.matrix


def records_of(columns: Mapping[str, Column], count: int) -> list[Record]:
    """Return the records that the rows are, None for what is missing; few rows, for the log."""
    return [
        {name: value_at(column, row) for name, column in columns.items()} for row in range(count)
    ]


def column_of(tensor: Tensor, feature: Feature) -> Column:
    """Return the values of one feature; NaN is missing, as the protocol knows no null."""
    array = _within(tensor, feature).array.reshape(-1)
    missing = np.zeros(len(array), dtype=np.bool_)
    if array.dtype.kind == "f":
        missing = np.isnan(array)
    if tensor.missing is not None:
        missing = missing | tensor.missing.reshape(-1)
    if tensor.datatype == BYTES:
        texts, places = array.tolist(), np.arange(len(array))
        return Column(
            "text", missing, texts.__getitem__, match=lambda known: matched(texts, places, known)
        )
    holds: Holds = "boolean" if tensor.datatype == BOOL else "number"
    return Column(holds, missing, lambda row: array[row].item(), numbers=array.astype(np.float64))


def _misfits(tensor: Tensor, feature: Feature) -> list[Problem]:
    problems, shape = [], tensor.array.shape
    if tensor.datatype not in feature.kind.datatypes:
        wanted = f"give {feature.describe()}, as {feature.kind.datatype}"
        problems.append(Problem(tensor.name, f"is {tensor.datatype}; {wanted}"))
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        wanted = "one value for each row: shape [n] or [n, 1]"
        problems.append(Problem(tensor.name, f"has the shape {list(shape)}; give {wanted}"))
    return problems


def _within(tensor: Tensor, feature: Feature) -> Tensor:
    """Return a tensor whose values that stand on a bound do so still.

    The nearest FP32 to a bound such as 0.1 may lie beyond it.
    """
    if tensor.datatype not in ROUNDED:
        return tensor
    array = tensor.array.astype(np.float64)
    for bound in (feature.minimum, feature.maximum):
        with np.errstate(over="ignore"):
            rounded = tensor.array.dtype.type(np.nan if bound is None else bound)
        if np.isfinite(rounded):
            array[tensor.array == rounded] = bound
    return replace(tensor, array=array)


Json = dict[str, Any]
MOST_ROWS = 250_000  # each gets an id, and all answers are in memory
RECORDED_ROWS = 1000  # recorded one by one; the records of more are not made
CLASSES = {BOOL: bool, "INT64": np.int64, "FP64": np.float64, BYTES: object}
PLATFORMS = {"h2o": "h2o_binary", "onnx": "onnxruntime_onnx", "pickle": "python_pickle"}
ID, PROBABILITY, PROBABILITIES = "id", "probability", "probabilities"


@dataclass(frozen=True)
class PredictedRows:
    """What was predicted for n rows: the id of row i, from 1, is `<id_prefix>-<i>`.

    `records` are those of the rows, unless they are more than RECORDED_ROWS.
    """

    id_prefix: str
    matrix: Matrix
    prediction: Prediction
    records: Sequence[Record]

    def ids(self) -> list[str]:
        """Return the ids of all rows."""
        return [f"{self.id_prefix}-{row}" for row in range(1, len(self.matrix) + 1)]


class TypedModel:
    """A model with a signature, as the protocol sees it."""

    def __init__(self, predictor: Predictor) -> None:
        self.signature = predictor.signature
        self.name, self.version = self.signature.name, self.signature.version
        self._predictor = predictor

    @property
    def apart(self) -> bool:
        """Whether it runs in another process."""
        return self._predictor.apart

    def metadata(self) -> Json:
        """Return what the protocol calls the metadata of the model."""
        features = self.signature.features
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": PLATFORMS[self.signature.runtime],
            "inputs": [
                {
                    "name": name,
                    "datatype": feature.kind.datatype,
                    "shape": [-1],
                    "parameters": {"optional": feature.optional, **feature_schema(feature)},
                }
                for name, feature in features.items()
            ],
            "outputs": outputs_of(self.signature),
        }

    def outputs(self) -> list[str]:
        """Return the names of all outputs."""
        return [output["name"] for output in outputs_of(self.signature)]

    def encoded(self, inputs: dict[str, Tensor]) -> tuple[Matrix, Sequence[Record]]:
        """Return tensors as the model takes them, and the records; raises InvalidInputError."""
        features = self.signature.features
        count, columns = columns_of(features, inputs)
        if count > MOST_ROWS:
            text = f"have {count} rows; send at most {MOST_ROWS} at a time, or a batch"
            raise InvalidInputError([Problem("inputs", text)])
        matrix = admitted(columns, features, count)
        return matrix, records_of(columns, count) if count <= RECORDED_ROWS else []

    def predicted(self, matrix: Matrix) -> Prediction:
        """Predict in this thread."""
        return predict(self._predictor.model, matrix)

    async def predicted_apart(self, matrix: Matrix) -> Prediction:
        """Predict in another process; cancelled, the run is killed."""
        apart = self._predictor.predict_apart
        if apart is None:
            raise TypeError(f"{self.name} runs in the worker")
        return await predict_apart(apart, matrix)

    def answered(
        self, matrix: Matrix, records: Sequence[Record], prediction: Prediction
    ) -> PredictedRows:
        """Return what was predicted under a new id; raises UnusableAnswerError."""
        known = usable(prediction, self.signature)
        return PredictedRows(new_id(self._predictor.tag), matrix, known, records)

    def tensors(self, answered: PredictedRows, wanted: Sequence[str]) -> list[Tensor]:
        """Return the outputs that are wanted, in that order."""
        datatypes = {each["name"]: each["datatype"] for each in outputs_of(self.signature)}
        return [Tensor(name, datatypes[name], self._output(answered, name)) for name in wanted]

    def _output(self, answered: PredictedRows, name: str) -> Array:
        labels, scores, values = (
            answered.prediction.labels,
            answered.prediction.scores,
            answered.prediction.values,
        )
        if name == ID:
            return np.array(answered.ids(), dtype=object)
        if name == self.signature.target.name:
            if values is not None:
                return values.astype(np.float64)
            classes = np.array(self.signature.classes, dtype=object)[labels]
            datatype = datatype_of_classes(self.signature)
            return classes.astype(CLASSES[datatype])
        assert scores is not None and labels is not None  # they are offered only where they are
        if name == PROBABILITIES:
            return scores.astype(np.float64)
        binary = self.signature.target.task == "binary"
        chosen = scores[:, -1] if binary else scores[np.arange(len(scores)), labels]
        return chosen.astype(np.float64)


def outputs_of(signature: Signature) -> list[Json]:
    """Return the metadata of the outputs of a model."""
    target = signature.target.name
    labels = {"parameters": {"labels": list(signature.classes)}}
    if signature.target.task == "regression":
        outputs: list[Json] = [{"name": target, "datatype": "FP64", "shape": [-1]}]
    else:
        datatype = datatype_of_classes(signature)
        outputs = [{"name": target, "datatype": datatype, "shape": [-1], **labels}]
    if signature.probabilities:
        shape = [-1, len(signature.classes)]
        outputs += [
            {"name": PROBABILITY, "datatype": "FP64", "shape": [-1]},
            {"name": PROBABILITIES, "datatype": "FP64", "shape": shape, **labels},
        ]
    return [*outputs, {"name": ID, "datatype": BYTES, "shape": [-1]}]


def datatype_of_classes(signature: Signature) -> str:
    """Return the datatype of all classes: BOOL, INT64 or FP64 where they are such, else BYTES."""
    kinds = {type(each) for each in signature.classes}
    if kinds == {bool}:
        return BOOL
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else BYTES


def usable(prediction: Prediction, signature: Signature) -> Prediction:
    """Return a prediction that is one for each row; raises UnusableAnswerError."""
    name, count = signature.name, len(signature.classes)
    if signature.target.task == "regression":
        if prediction.values is None or not np.isfinite(prediction.values).all():
            raise UnusableAnswerError(f"{name}: the model gave no number for some row")
        return prediction
    labels, scores = prediction.labels, prediction.scores
    if labels is None or ((labels < 0) | (labels >= count)).any():
        raise UnusableAnswerError(f"{name}: the model gave none of its {count} classes")
    if signature.probabilities and (
        scores is None or scores.shape != (len(labels), count) or not np.isfinite(scores).all()
    ):
        raise UnusableAnswerError(f"{name}: the model gave no probability for each class")
    return prediction
