"""Hand-made ONNX graphs without a signature: what callers bring along."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]
Declared = tuple[str, int, Shape | None]


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


def identity(shape: Shape | None, kind: int = TensorProto.FLOAT) -> ModelProto:
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
    counting = as_often_as_asked()
    counting.graph.initializer.append(numpy_helper.from_array(np.array(10**15), "turns"))
    del counting.graph.input[1]
    return counting


def filled() -> ModelProto:
    """Return a model that makes as many numbers as its input says."""
    return model(
        [helper.make_node("ConstantOfShape", ["shape"], ["y"])],
        [("shape", TensorProto.INT64, [1])],
        [("y", TensorProto.FLOAT, [None])],
    )


def growing() -> ModelProto:
    """Return a model of some bytes that says how to make a gigabyte of numbers from one."""
    return model(
        [
            helper.make_node("Tile", ["one", "times"], ["many"]),
            helper.make_node("Gather", ["many", "x"], ["y"]),
        ],
        [("x", TensorProto.INT64, [1])],
        [("y", TensorProto.FLOAT, [None])],
        constants={"one": np.ones(1, np.float32), "times": np.array([1 << 28])},
    )


def endless_beyond(threshold: float, graph: ModelProto) -> ModelProto:
    """Make a graph of `features` count without end where one of them is above a threshold."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["before"], ["after"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [None, None]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [None, None]),
        ],
    )
    for node in graph.graph.node:
        node.input[:] = ["counted" if each == "features" else each for each in node.input]
    first = [
        helper.make_node("ReduceMax", ["features"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "threshold"], ["beyond"]),
        helper.make_node("Where", ["beyond", "many", "once"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "features"], ["counted"], body=body),
    ]
    nodes = [*first, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    constants = {
        "threshold": np.array(threshold, np.float32),
        "many": np.array(10**15),
        "once": np.array(1),
    }
    graph.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    return graph


def as_often_as_asked() -> ModelProto:
    """Return a model that counts as far as its second input says."""
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
        [("x", TensorProto.FLOAT, [1]), ("turns", TensorProto.INT64, [])],
        [("y", TensorProto.FLOAT, [1])],
    )
