"""A model's own graph → one from the float32 matrix of codes to codes of classes, or values.

Before it columns are cut out of the matrix, and codes of categories become their texts again; after
it labels become codes, and probabilities stand in the order of the declared classes.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from treeline.contract.features import Feature, Label
from treeline.errors import ExportError, first_line
from treeline.export.conversion import IR_VERSION, plain_bytes
from treeline.intake.labels import ML
from treeline.intake.models import Model, place_of
from treeline.trainers.imported import ORIGIN, described

OURS = ("features", "label", "scores", "value")  # names that a graph has for what it gives us
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def graph_of(model: Model, features: Mapping[str, Feature], classes: Sequence[Label]) -> bytes:
    """Return the bytes of the whole graph; raises ExportError.

    `features` are in the order that the model takes them, `classes` in that of their codes.
    """
    inputs = [(name, "text" if each.categories else "number") for name, each in features.items()]
    graph = model.graph(inputs)
    graph.ir_version = min(max(graph.ir_version, 8), IR_VERSION)
    for name in OURS:
        _rename(graph.graph, name, _own(name))
    _take_matrix(graph.graph, features)
    if classes:
        _give_codes(graph.graph, order_of(model, classes))
    else:
        _give_values(graph.graph)
    graph.graph.name = "treeline"
    says = described(dict(features), tuple(classes), made=model.made)
    helper.set_model_props(graph, {ORIGIN: json.dumps(says)})
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the ONNX graph is not valid: {first_line(error)}") from error
    return plain_bytes(graph)


def order_of(model: Model, classes: Sequence[Label]) -> list[int]:
    """Return, by code, where a class stands among the model's; raises ExportError."""
    known = model.classes or ()
    places = [place_of(each, known) for each in classes]
    if None in places or len(known) != len(classes):
        raise ExportError(
            f"the model knows the classes {', '.join(map(repr, known)) or 'none'}, and the rows "
            f"have {', '.join(map(repr, classes))}; say which these are, in the model's order: "
            f"--classes {','.join(map(str, classes))}"
        )
    return [place for place in places if place is not None]


def _take_matrix(body: onnx.GraphProto, features: Mapping[str, Feature]) -> None:
    """Put before a graph what makes its inputs of one matrix; raises ExportError."""
    entries = {entry.name: entry.type.tensor_type.elem_type for entry in body.input}
    nodes: list[onnx.NodeProto] = []
    if len(entries) == 1 and not any(each.categories for each in features.values()):
        ((name, kind),) = entries.items()
        nodes.append(helper.make_node("Cast", ["features"], [name], to=kind))
        entries = {}
    elif missing := set(entries) ^ {_own(name) for name in features}:
        raise ExportError(
            f"the graph takes {', '.join(entries)}, and the features are {', '.join(features)}: "
            f"{min(missing)!r} is on one side only"
        )
    for place, (feature_name, feature) in enumerate(features.items()):
        if (name := _own(feature_name)) not in entries:
            continue
        at, column = f"treeline_at_{place}", f"treeline_column_{place}"
        body.initializer.append(numpy_helper.from_array(np.array([place], np.int64), at))
        nodes.append(helper.make_node("Gather", ["features", at], [column], axis=1))
        nodes.append(_own_column(feature, column, name, entries[name]))
    for node in reversed(nodes):
        body.node.insert(0, node)
    del body.input[:]
    body.input.append(helper.make_tensor_value_info("features", FLOAT, ["rows", len(features)]))


def _own_column(feature: Feature, column: str, name: str, kind: int) -> onnx.NodeProto:
    if not feature.categories:
        return helper.make_node("Cast", [column], [name], to=kind)
    codes = [float(code) for code in range(len(feature.categories))]
    return helper.make_node(
        "LabelEncoder",
        [column],
        [name],
        domain=ML,
        keys_floats=codes,
        values_strings=list(feature.categories),
        default_string="",
    )


def _give_codes(body: onnx.GraphProto, order: Sequence[int]) -> None:
    """Let a graph give `label` and, where it has probabilities, `scores`."""
    outputs = list(body.output)
    for name, numbers in (("codes", np.argsort(order)), ("flat", [-1]), ("order", order)):
        values = np.array(numbers, np.int64)
        body.initializer.append(numpy_helper.from_array(values, f"treeline_{name}"))
    body.node.append(
        helper.make_node("Gather", ["treeline_codes", outputs[0].name], ["treeline_code"], axis=0)
    )
    body.node.append(helper.make_node("Reshape", ["treeline_code", "treeline_flat"], ["label"]))
    del body.output[:]
    body.output.append(helper.make_tensor_value_info("label", INT64, ["rows"]))
    if len(outputs) > 1:
        taken = [outputs[1].name, "treeline_order"]
        body.node.append(helper.make_node("Gather", taken, ["treeline_scores"], axis=1))
        body.node.append(helper.make_node("Cast", ["treeline_scores"], ["scores"], to=FLOAT))
        shape: list[str | int | None] = ["rows", len(order)]
        body.output.append(helper.make_tensor_value_info("scores", FLOAT, shape))


def _give_values(body: onnx.GraphProto) -> None:
    """Let a graph give `value`."""
    name = body.output[0].name
    body.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "treeline_flat"))
    body.node.append(helper.make_node("Cast", [name], ["treeline_value"], to=FLOAT))
    body.node.append(helper.make_node("Reshape", ["treeline_value", "treeline_flat"], ["value"]))
    del body.output[:]
    body.output.append(helper.make_tensor_value_info("value", FLOAT, ["rows"]))


def _own(name: str) -> str:
    """Return the name that a tensor of the model's has in our graph."""
    return f"own_{name}" if name in OURS else name


def _rename(body: onnx.GraphProto, old: str, new: str) -> None:
    for entry in (*body.input, *body.output):
        entry.name = new if entry.name == old else entry.name
    for node in body.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = new if name == old else name
