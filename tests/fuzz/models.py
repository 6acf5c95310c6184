"""Models that are uploaded to the service which is fuzzed: ordinary ones, and some that turn bad.

Those that turn bad pass a trial with small inputs, and take time or memory as their caller wishes.
"""

from collections.abc import Callable

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.tiny_graphs import identity, model, product, scaled
from tests.tiny_models import DIABETES, build_graph, describe, try_out
from treeline.artifact.onnx import SIGNATURE_KEY

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
THRESHOLD = 1_000.0


def counting() -> GraphProto:
    """Return the body of a loop that adds nothing to a number, as often as it is run."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["before", "before"], ["after"]),
        helper.make_node("Identity", ["go"], ["go_on"]),
    ]
    inputs = [value("turn", INT64, []), value("go", BOOL, []), value("before", FLOAT, None)]
    return helper.make_graph(
        nodes, "body", inputs, [value("go_on", BOOL, []), value("after", FLOAT, None)]
    )


def looping() -> ModelProto:
    """Return a model that counts as far as its caller says."""
    node = helper.make_node("Loop", ["turns", "", "x"], ["y"], body=counting())
    return model([node], [("turns", INT64, []), ("x", FLOAT, [1])], [("y", FLOAT, [1])])


def filling() -> ModelProto:
    """Return a model that makes as many zeros as its caller says, and sums them up."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["y"], keepdims=0),
    ]
    return model(nodes, [("shape", INT64, [1])], [("y", FLOAT, [])])


def tiling() -> ModelProto:
    """Return a model that repeats its input as often as its caller says."""
    node = helper.make_node("Tile", ["x", "times"], ["y"])
    return model([node], [("x", FLOAT, [None]), ("times", INT64, [1])], [("y", FLOAT, [None])])


def ranging() -> ModelProto:
    """Return a model that counts from 0 to a limit and gives all numbers back."""
    nodes = [helper.make_node("Range", ["zero", "limit", "one"], ["y"])]
    constants = {"zero": np.array(0, dtype=np.int64), "one": np.array(1, dtype=np.int64)}
    return model(nodes, [("limit", INT64, [])], [("y", INT64, [None])], constants=constants)


def outer() -> ModelProto:
    """Return a model of the sum of every pair: n² numbers of n."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["column"]),
        helper.make_node("Add", ["column", "x"], ["y"]),
    ]
    constants = {"last": np.array([1], dtype=np.int64)}
    return model(nodes, [("x", FLOAT, [None])], [("y", FLOAT, [None, None])], constants=constants)


def signed(graph: ModelProto) -> ModelProto:
    """Return a model of the features and the target of DIABETES, with a signature inside."""
    payload = graph.SerializeToString()
    signature = describe(DIABETES, scores=try_out(DIABETES, payload), payload=payload)
    helper.set_model_props(graph, {SIGNATURE_KEY: signature.embedded()})
    return graph


def typed() -> ModelProto:
    """Return an ordinary model that takes records."""
    return signed(build_graph(DIABETES))


def turning() -> ModelProto:
    """Return a model that takes records, and loops for ever where a feature is beyond a bound."""
    graph = build_graph(DIABETES)
    nodes: list[NodeProto] = [
        helper.make_node("ReduceMax", ["known"], ["most"], keepdims=0),
        helper.make_node("Sub", ["most", "bound"], ["over"]),
        helper.make_node("Relu", ["over"], ["above"]),
        helper.make_node("Mul", ["above", "many"], ["times"]),
        helper.make_node("Cast", ["times"], ["turns"], to=INT64),
        helper.make_node("Loop", ["turns", "", "linear"], ["looped"], body=counting()),
    ]
    last = [node for node in graph.graph.node if node.op_type in ("Constant", "Squeeze")]
    kept = [node for node in graph.graph.node if node not in last]
    for node in last:
        node.input[:] = ["looped" if name == "linear" else name for name in node.input]
    del graph.graph.node[:]
    graph.graph.node.extend([*kept, *nodes, *last])
    for name, number in (("bound", THRESHOLD), ("many", 1e15)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array(number, np.float32), name))
    return signed(graph)


MODELS: dict[str, Callable[[], ModelProto]] = {
    "scaled": lambda: scaled(2, (None, 3)),
    "words": lambda: identity([None], TensorProto.STRING),
    "whole": lambda: identity([None], TensorProto.INT8),
    "flags": lambda: identity([None, None], TensorProto.BOOL),
    "halves": lambda: identity([None], TensorProto.FLOAT16),
    "product": product,
    "eye": lambda: identity([None, 3, 24, 24]),
    "cat": lambda: identity([None, 3, 24, 24]),
    "typed": typed,
    "looping": looping,
    "filling": filling,
    "tiling": tiling,
    "ranging": ranging,
    "outer": outer,
    "turning": turning,
}
