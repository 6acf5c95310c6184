"""Forests and scalers of scikit-learn → ONNX, with their own thresholds, sums and rounding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

TREES = (DecisionTreeClassifier, ExtraTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor)
FORESTS = (
    *(RandomForestClassifier, ExtraTreesClassifier),
    *(RandomForestRegressor, ExtraTreesRegressor),
)
ML = "ai.onnx.ml"
BINARY = 2


def is_forest(step: Any) -> bool:
    """Tell whether a step is one of these, with one target."""
    return type(step) in (*TREES, *FORESTS) and step.n_outputs_ == 1


def graph_of(step: Any, *, width: int, opset: dict[str, int]) -> onnx.ModelProto:
    """Return the graph of a fitted tree or forest.

    It takes float32 of shape (n_rows, width), and gives int64 classes of shape (n_rows,) and
    float32 probabilities of shape (n_rows, n_classes), or float32 values of shape (n_rows, 1).
    """
    trees = [each.tree_ for each in getattr(step, "estimators_", [step])]
    classifies = hasattr(step, "classes_")
    nodes = [helper.make_node("Cast", ["features"], ["doubles"], to=TensorProto.DOUBLE)]
    if classifies:
        outputs = _add_classifier(nodes, step.classes_, trees)
    else:
        outputs = _add_regressor(nodes, trees)
    graph = helper.make_graph(
        nodes,
        "piece",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        outputs,
        [
            numpy_helper.from_array(np.array([len(trees)], np.float32), "count"),
            numpy_helper.from_array(np.array([0, 1]), "both"),
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(d, version) for d, version in opset.items()]
    )


def route_missing(piece: onnx.ModelProto, trees: Sequence[Any]) -> None:
    """Let trees that a converter wrote send missing values as scikit-learn's do, in their order."""
    waiting = iter(trees)
    for node in piece.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        numbers = list(
            zip(attributes["nodes_treeids"].ints, attributes["nodes_nodeids"].ints, strict=True)
        )
        own = {number: next(waiting) for number in dict.fromkeys(tree for tree, _ in numbers)}
        left = [int(_goes_left(own[tree])[node_id]) for tree, node_id in numbers]
        if (known := attributes.get("nodes_missing_value_tracks_true")) is not None:
            node.attribute.remove(known)
        node.attribute.append(helper.make_attribute("nodes_missing_value_tracks_true", left))


def _goes_left(tree: Any) -> NDArray[np.bool_]:
    """Return where each node sends a missing value; False for leaves, shape (n_nodes,)."""
    branches: NDArray[np.bool_] = tree.children_left >= 0
    return np.asarray(tree.missing_go_to_left, dtype=np.bool_) & branches


def _add_classifier(nodes: list[Any], classes: NDArray[Any], trees: Sequence[Any]) -> list[Any]:
    """Each leaf votes for each class; the sums are doubles, and the largest is the label.

    With two classes onnxruntime would hold a sum against one half: a third, for which no leaf
    votes, makes it look for the largest, the first of equal ones, as scikit-learn does.
    """
    labels = [int(label) for label in classes]
    nodes.append(
        helper.make_node(
            "TreeEnsembleClassifier",
            ["doubles"],
            ["class", "votes"],
            domain=ML,
            classlabels_int64s=labels if len(labels) > BINARY else [*labels, max(labels) + 1],
            post_transform="NONE",
            **_branches(trees),
            **_leaves("class", trees),
        )
    )
    if len(labels) == BINARY:
        nodes.append(helper.make_node("Gather", ["votes", "both"], ["sums"], axis=1))
    else:
        nodes[-1].output[1] = "sums"
    nodes.append(helper.make_node("Div", ["sums", "count"], ["probabilities"]))
    return [
        helper.make_tensor_value_info("class", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(labels)]),
    ]


def _add_regressor(nodes: list[Any], trees: Sequence[Any]) -> list[Any]:
    nodes.append(
        helper.make_node(
            "TreeEnsembleRegressor",
            ["doubles"],
            ["values"],
            domain=ML,
            n_targets=1,
            aggregate_function="AVERAGE",
            post_transform="NONE",
            **_branches(trees),
            **_leaves("target", trees),
        )
    )
    return [helper.make_tensor_value_info("values", TensorProto.FLOAT, [None, 1])]


def _branches(trees: Sequence[Any]) -> dict[str, Any]:
    """Return the attributes of all nodes of all trees."""
    leaf = [tree.children_left < 0 for tree in trees]
    thresholds = [
        np.where(ends, 0.0, tree.threshold) for tree, ends in zip(trees, leaf, strict=True)
    ]
    return {
        "nodes_treeids": _joined(np.full(t.node_count, i) for i, t in enumerate(trees)),
        "nodes_nodeids": _joined(np.arange(tree.node_count) for tree in trees),
        "nodes_featureids": _joined(np.maximum(tree.feature, 0) for tree in trees),
        "nodes_values_as_tensor": _doubles(thresholds),
        "nodes_modes": [
            "LEAF" if ends else "BRANCH_LEQ" for flags in leaf for ends in flags.tolist()
        ],
        "nodes_truenodeids": _joined(np.maximum(tree.children_left, 0) for tree in trees),
        "nodes_falsenodeids": _joined(np.maximum(tree.children_right, 0) for tree in trees),
        "nodes_missing_value_tracks_true": _joined(_goes_left(tree).astype(int) for tree in trees),
    }


def _leaves(kind: str, trees: Sequence[Any]) -> dict[str, Any]:
    """Return the attributes of what each leaf says: a weight for each class, or for the target."""
    ends = [np.flatnonzero(tree.children_left < 0) for tree in trees]
    width = trees[0].value.shape[2]
    weights = [tree.value[each, 0].ravel() for tree, each in zip(trees, ends, strict=True)]
    return {
        f"{kind}_treeids": _joined(np.full(len(e) * width, i) for i, e in enumerate(ends)),
        f"{kind}_nodeids": _joined(np.repeat(each, width) for each in ends),
        f"{kind}_ids": _joined(np.tile(np.arange(width), len(each)) for each in ends),
        f"{kind}_weights_as_tensor": _doubles(weights),
    }


def _joined(parts: Any) -> list[int]:
    return [int(number) for number in np.concatenate(list(parts))]


def _doubles(parts: Sequence[NDArray[Any]]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.concatenate(parts).astype(np.float64), "")


def register() -> None:
    """Put these converters in the place of the library's own."""
    for scaler in (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler):
        update_registered_converter(
            scaler, f"Treeline{scaler.__name__}", _shape, _convert, overwrite=True
        )


def _shape(operator: Any) -> None:
    """Say that a float32 matrix of as many columns comes out."""
    width = operator.inputs[0].type.shape[1]
    operator.outputs[0].type = FloatTensorType([None, width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a scaler: each step as scikit-learn takes it in place.

    `X -= center` with doubles on the right is computed in doubles and rounded to float32; where
    scikit-learn rounds the constant first, it is computed in float32.
    """
    scaler = operator.raw_operator
    steps = list(_steps(scaler))
    value = operator.inputs[0].full_name
    if not steps:
        _add(container, "Identity", [value], operator.outputs[0].full_name)
        return
    for number, (operation, constant) in enumerate(steps):
        last = number == len(steps) - 1
        name = operator.outputs[0].full_name if last else f"{operator.full_name}_{number}"
        value = _add_step(container, operation, (value, name), constant)


def _steps(scaler: Any) -> list[tuple[str, NDArray[Any]]]:
    """Return the steps of a fitted scaler in order: what is done, and with which numbers."""
    single = np.float32
    if isinstance(scaler, StandardScaler):
        return [
            *([("Sub", scaler.mean_.astype(single))] if scaler.with_mean else []),
            *([("Div", scaler.scale_.astype(single))] if scaler.with_std else []),
        ]
    if isinstance(scaler, RobustScaler):
        return [
            *([("Sub", scaler.center_)] if scaler.with_centering else []),
            *([("Div", scaler.scale_)] if scaler.with_scaling else []),
        ]
    if isinstance(scaler, MinMaxScaler):
        limits, steps = scaler.feature_range, [("Mul", scaler.scale_), ("Add", scaler.min_)]
    else:
        limits, steps = (-1, 1), [("Div", scaler.scale_)]
    return [*steps, ("Clip", np.array(limits, single))] if scaler.clip else steps


def _add_step(
    container: Any, operation: str, names: tuple[str, str], constant: NDArray[Any]
) -> str:
    taken, given = names
    if operation == "Clip":
        bounds = [f"{given}_low", f"{given}_high"]
        for name, bound in zip(bounds, constant, strict=True):
            container.add_initializer(name, TensorProto.FLOAT, [], [float(bound)])
        return _add(container, "Clip", [taken, *bounds], given)
    double = constant.dtype == np.float64
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    container.add_initializer(f"{given}_with", kind, [len(constant)], constant.tolist())
    if not double:
        return _add(container, operation, [taken, f"{given}_with"], given)
    wide = _add(container, "Cast", [taken], f"{given}_wide", to=kind)
    exact = _add(container, operation, [wide, f"{given}_with"], f"{given}_exact")
    return _add(container, "Cast", [exact], given, to=TensorProto.FLOAT)


def _add(container: Any, operation: str, taken: list[str], given: str, **options: Any) -> str:
    version = {"Cast": 19, "Clip": 13, "Identity": 19}.get(operation, 14)
    container.add_node(
        operation, taken, [given], op_version=version, name=f"{given}_node", **options
    )
    return given
