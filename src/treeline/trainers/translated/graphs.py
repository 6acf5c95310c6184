"""Arrays of nodes → ONNX graphs: one operator that walks the trees, and what is made of its sum.

The operator is TreeEnsembleRegressor with one output for each class: TreeEnsembleClassifier would
choose the label by rules of its own. It compares and sums in doubles, as Spark does, so every row
takes the same way through every tree; only the sum is rounded to float32.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from treeline.trainers.translated.forest import Trees

OPSET = {"": 21, "ai.onnx.ml": 3}


def voting(trees: Trees, width: int) -> onnx.ModelProto:
    """Return features → label and scores: the votes, and each class's share of them."""
    nodes = [
        helper.make_node("ArgMax", ["sums"], ["label"], axis=1, keepdims=0),
        helper.make_node("ReduceSum", ["sums", "classes"], ["votes"], keepdims=1),
        helper.make_node("Div", ["sums", "votes"], ["probabilities"]),
    ]
    axes = numpy_helper.from_array(np.array([1], np.int64), "classes")
    return _model(trees, width, nodes, [axes], classes=trees.value.shape[1])


def margin(trees: Trees, width: int) -> onnx.ModelProto:
    """Return features → label and scores: 1 / (1 + exp(-2 m)) for the margin m."""
    nodes = [
        helper.make_node("Greater", ["sums", "zero"], ["above"]),
        helper.make_node("Cast", ["above"], ["label"], to=TensorProto.INT64),
        helper.make_node("Mul", ["sums", "both"], ["doubled"]),
        helper.make_node("Sigmoid", ["doubled"], ["probabilities"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array([[-2, 2]], np.float32), "both"),
    ]
    return _model(trees, width, nodes, constants, classes=2)


def averaging(trees: Trees, width: int) -> onnx.ModelProto:
    """Return features → variable: the weighted sum of the trees."""
    nodes = [helper.make_node("Identity", ["sums"], ["variable"])]
    return _model(trees, width, nodes, [], classes=0)


def _model(
    trees: Trees,
    width: int,
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    *,
    classes: int,
) -> onnx.ModelProto:
    float32 = TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info("variable", float32, [None, 1])]
    if classes:
        outputs = [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", float32, [None, classes]),
        ]
    walking = [
        helper.make_node("Cast", ["features"], ["exact"], to=TensorProto.DOUBLE),
        _walk(trees),
    ]
    graph = helper.make_graph(
        [*walking, *nodes],
        "trees",
        [helper.make_tensor_value_info("features", float32, [None, width])],
        outputs,
        constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
    return helper.make_model(graph, opset_imports=opsets)


def _walk(trees: Trees) -> onnx.NodeProto:
    """Return the operator, which numbers the nodes of each tree from its root."""
    count = len(trees.feature)
    tree = np.searchsorted(trees.roots, np.arange(count), side="right") - 1
    start = trees.roots[tree]
    number = np.arange(count) - start
    leaf = trees.left == np.arange(count)
    outputs = trees.value.shape[1]
    weighted = trees.value * trees.weights[tree][:, None]
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["exact"],
        ["sums"],
        domain="ai.onnx.ml",
        n_targets=outputs,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_featureids=trees.feature.tolist(),
        nodes_modes=["LEAF" if ends else "BRANCH_LEQ" for ends in leaf],
        nodes_values_as_tensor=_doubles(trees.threshold, "nodes_values"),
        nodes_truenodeids=np.where(leaf, 0, trees.left - start).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, trees.right - start).tolist(),
        target_treeids=np.repeat(tree[leaf], outputs).tolist(),
        target_nodeids=np.repeat(number[leaf], outputs).tolist(),
        target_ids=np.tile(np.arange(outputs), int(leaf.sum())).tolist(),
        target_weights_as_tensor=_doubles(weighted[leaf].ravel(), "target_weights"),
    )


def _doubles(values: NDArray[np.float64], name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values, np.float64), name)
