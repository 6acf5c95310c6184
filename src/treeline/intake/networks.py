"""An ONNX file of a classifier or of a regression → a model, and its graph as it came."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from google.protobuf.message import DecodeError
from onnx import helper

from treeline.artifact import Prediction
from treeline.errors import ArtifactRejectedError
from treeline.export.conversion import OPSET
from treeline.intake import Said
from treeline.intake.labels import ML, as_positions
from treeline.intake.models import called

FLOATS = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.DOUBLE: np.float64}
LABELS = (onnx.TensorProto.INT64, onnx.TensorProto.STRING, onnx.TensorProto.INT32)
OLDEST = {"": 13, ML: 2}  # for which the operators around a graph are written
TEXT = onnx.TensorProto.STRING


@dataclass(frozen=True)
class OnnxModel:
    """A graph with one input of all columns, or one for each; `proto` has no ZipMap any more.

    `labels` are what it gives for its `classes`, in the same order.
    """

    proto: onnx.ModelProto
    names: tuple[str, ...] | None
    classes: tuple[Any, ...] | None
    labels: tuple[Any, ...] = ()
    made: str = "onnx"

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(
            self.proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def predict(self, frame: pd.DataFrame) -> Prediction:
        """Answer a frame by onnxruntime."""
        taken = self.proto.graph.input
        feeds = {}
        for entry in taken:
            kind = entry.type.tensor_type.elem_type
            columns = frame if len(taken) == 1 else frame[[entry.name]]
            dtype = object if kind == TEXT else FLOATS[kind]
            feeds[entry.name] = columns.to_numpy(dtype=dtype)
        outputs = self._session.run(None, feeds)
        if self.classes == ():
            return Prediction(values=np.asarray(outputs[0]).reshape(-1))
        scores = np.asarray(outputs[1]) if len(outputs) > 1 else None
        given = np.asarray(outputs[0]).reshape(-1)
        if self.classes:
            called = dict(zip(self.labels, self.classes, strict=True))
            given = np.array([called.get(each) for each in given.tolist()], dtype=object)
        return Prediction(labels=given, scores=scores)

    def graph(self, inputs: Sequence[tuple[str, str]]) -> onnx.ModelProto:
        """Return a copy of it whose labels are positions in the classes."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.proto)
        if self.classes:
            as_positions(copy.graph, self.labels)
        return copy


def read_onnx(place: str, said: Said) -> OnnxModel:
    """Open an ONNX file; raises ArtifactRejectedError, which names what is to be said of it."""
    try:
        proto = onnx.load_from_string(Path(place).read_bytes())
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ArtifactRejectedError(f"{place}: not a valid ONNX model: {error}") from error
    _renew(proto, place)
    labels = _without_maps(proto.graph)
    outputs = [output.type.tensor_type.elem_type for output in proto.graph.output]
    known = {*FLOATS, TEXT}
    if any(entry.type.tensor_type.elem_type not in known for entry in proto.graph.input):
        raise ArtifactRejectedError(
            f"{place}: an input is no float, double or text; give a graph that takes one row of "
            "numbers for each record, or a column for each feature"
        )
    classes: tuple[Any, ...] | None = ()
    if outputs[0] in LABELS:
        classes = called(place, said, labels) if labels else said.classes or None
        labels = labels or _labels(classes or (), outputs[0])
    elif outputs[0] not in FLOATS:
        raise ArtifactRejectedError(
            f"{place}: its first output is neither labels nor values; give a graph whose outputs "
            "are labels and probabilities, or values"
        )
    if classes is None and len(outputs) > 1:
        raise ArtifactRejectedError(
            f"{place}: it does not say which class each probability is of; say it in their order: "
            "--classes no,yes"
        )
    names = tuple(entry.name for entry in proto.graph.input)
    taken = said.features or (names if len(names) > 1 else None)
    return OnnxModel(proto, taken, classes, labels=labels)


def _labels(classes: tuple[Any, ...], kind: int) -> tuple[Any, ...]:
    """Return what a graph gives for classes, where it has no names of its own for them."""
    if kind == TEXT:
        return classes
    numbers = [int(each) for each in classes if str(each).isdecimal()]
    return tuple(numbers if len(numbers) == len(classes) else range(len(classes)))


def _renew(proto: onnx.ModelProto, place: str) -> None:
    """Let a graph have the operators that are put around it; raises ArtifactRejectedError."""
    versions = {each.domain: each for each in proto.opset_import}
    old = ML in versions and versions[ML].version < OLDEST[ML]
    encodes = any(node.op_type == "LabelEncoder" for node in proto.graph.node)
    plain = versions.get("")  # a graph of trees alone has no other operators
    if plain is None:
        proto.opset_import.append(helper.make_opsetid("", OPSET[""]))
    if (plain is not None and plain.version < OLDEST[""]) or (old and encodes):
        raise ArtifactRejectedError(
            f"{place}: is too old; write it for opset {OLDEST['']} and {ML} {OLDEST[ML]}, or later"
        )
    if ML not in versions:
        proto.opset_import.append(helper.make_opsetid(ML, OPSET[ML]))
    elif old:  # of what such a graph holds, nothing but that operator has changed
        versions[ML].version = OPSET[ML]


def _without_maps(body: onnx.GraphProto) -> tuple[Any, ...]:
    """Let a graph give a matrix of probabilities where it gave maps; return the classes named."""
    labels: tuple[Any, ...] = ()
    for node in list(body.node):
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        named = next((given[each] for each in given if each.startswith("classlabels_")), ())
        labels = (
            tuple(each.decode() if isinstance(each, bytes) else each for each in named) or labels
        )
        if node.op_type != "ZipMap":
            continue
        for place, output in enumerate(body.output):
            if output.name == node.output[0]:
                shape: list[str | int | None] = ["rows", len(labels)]
                body.output[place].CopyFrom(
                    helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, shape)
                )
        body.node.remove(node)
    return labels
