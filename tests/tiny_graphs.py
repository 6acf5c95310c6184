"""Hand-made ONNX graphs without a signature: what callers bring along."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]
Declared = tuple[str, int, Shape]


def model(
    nodes: list[NodeProto],
    inputs: Sequence[Declared],
    outputs: Sequence[Declared],
    *,
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> ModelProto:
    """Return a model of these nodes; inputs and outputs are name, element type and shape."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*declared) for declared in inputs],
        [helper.make_tensor_value_info(*declared) for declared in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def identity(shape: Shape, kind: int = TensorProto.FLOAT) -> ModelProto:
    """Return a model that gives `x` back as `y`."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return model([node], [("x", kind, shape)], [("y", kind, shape)])


def scaled(factor: float, shape: Shape = (None,)) -> ModelProto:
    """Return a model that multiplies `x` by a number."""
    return model(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [("x", TensorProto.FLOAT, shape)],
        [("y", TensorProto.FLOAT, shape)],
        constants={"factor": np.array(factor, dtype=np.float32)},
    )


def product() -> ModelProto:
    """Return a model of two matrices and their product; only fitting ones can be multiplied."""
    return model(
        [helper.make_node("MatMul", ["left", "right"], ["both"])],
        [("left", TensorProto.FLOAT, [None, None]), ("right", TensorProto.FLOAT, [None, None])],
        [("both", TensorProto.FLOAT, [None, None])],
    )


def greedy() -> ModelProto:
    """Return a model of a few bytes that makes 160 GB of numbers when it runs."""
    return model(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
            helper.make_node("Add", ["huge", "x"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, [None, None])],
        constants={"shape": np.array([200_000, 200_000])},
    )


def endless() -> ModelProto:
    """Return a model that counts to ten to the fifteenth."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["before", "before"], ["after"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1]),
        ],
    )
    return model(
        [helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, [1])],
        constants={"turns": np.array(10**15)},
    )
