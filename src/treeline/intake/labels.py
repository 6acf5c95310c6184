"""What a graph gives as labels → positions in the classes of its model."""

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

ML = "ai.onnx.ml"
POSITION = "treeline_position"


def as_positions(body: onnx.GraphProto, classes: Sequence[Any]) -> None:
    """Let the first output of a graph, texts or whole numbers, be positions: int64 of (n_rows,)."""
    output = body.output[0]
    label, kind = output.name, output.type.tensor_type.elem_type
    keys: dict[str, Any] = {"keys_strings": [str(each) for each in classes]}
    if kind != onnx.TensorProto.STRING:
        cast = helper.make_node("Cast", [label], ["treeline_label"], to=onnx.TensorProto.INT64)
        body.node.append(cast)
        label, keys = "treeline_label", {"keys_int64s": [int(each) for each in classes]}
    body.node.append(
        helper.make_node(
            "LabelEncoder", [label], [POSITION], domain=ML,
            values_int64s=list(range(len(classes))), default_int64=-1, **keys,
        )
    )  # fmt: skip
    output.CopyFrom(helper.make_tensor_value_info(POSITION, onnx.TensorProto.INT64, ["rows"]))
