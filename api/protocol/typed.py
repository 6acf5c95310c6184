"""Models with a signature: one tensor per feature in; prediction, probabilities and ids out.

The outputs have the names that the answer to one record uses. A row is answered the same, to the
last bit, as it is alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from api.batch.predicting import predict, predict_apart
from api.contract.schemas import feature_schema
from api.errors import UnusableAnswerError
from api.ids import new_id
from api.prediction.predictor import Predictor
from api.protocol.columns import admitted, columns_of, records_of
from api.protocol.tensors import BOOL, BYTES, Array, Tensor
from treeline.artifact.prediction import Prediction
from treeline.contract.encoding import Matrix, Record
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem

Json = dict[str, Any]
MOST_ROWS = 250_000  # each gets an id, and all answers are in memory
KEPT_ROWS = 1000  # whose records are kept, to be recorded one by one
CLASSES = {BOOL: bool, "INT64": np.int64, "FP64": np.float64, BYTES: object}
PLATFORMS = {"h2o": "h2o_binary", "onnx": "onnxruntime_onnx", "pickle": "python_pickle"}
ID, PROBABILITY, PROBABILITIES = "id", "probability", "probabilities"


@dataclass(frozen=True)
class PredictedRows:
    """What was predicted for n rows: the id of row i, from 1, is `<id_prefix>-<i>`.

    `records` are those of the rows, unless they are more than KEPT_ROWS.
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
        return matrix, records_of(columns, count) if count <= KEPT_ROWS else []

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
        found = usable(prediction, self.signature)
        return PredictedRows(new_id(self._predictor.tag), matrix, found, records)

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
        found: list[Json] = [{"name": target, "datatype": "FP64", "shape": [-1]}]
    else:
        datatype = datatype_of_classes(signature)
        found = [{"name": target, "datatype": datatype, "shape": [-1], **labels}]
    if signature.probabilities:
        shape = [-1, len(signature.classes)]
        found += [
            {"name": PROBABILITY, "datatype": "FP64", "shape": [-1]},
            {"name": PROBABILITIES, "datatype": "FP64", "shape": shape, **labels},
        ]
    return [*found, {"name": ID, "datatype": BYTES, "shape": [-1]}]


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
