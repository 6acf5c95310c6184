"""An uploaded model is read before it is opened, and every reason to refuse it is told."""

import pickle
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from api.uploads.audit import audit
from api.uploads.limits import Limits, limits_of
from api.uploads.protocol import MESSAGES, model_class
from tests.tiny_graphs import identity, scaled

LIMITS = Limits(ir_version=13, opsets={"ai.onnx": 26, "ai.onnx.ml": 5})
PARSER = model_class()
Spoil = Callable[[ModelProto], object]


def told(payload: bytes) -> list[str]:
    return [f"{each.place}: {each.message}" for each in audit(payload, PARSER, LIMITS)]


def spoiled(spoil: Spoil) -> list[str]:
    model = scaled(2)
    spoil(model)
    return told(model.SerializeToString())


def test_a_plain_model_is_admitted() -> None:
    assert told(scaled(2).SerializeToString()) == []


def test_the_fields_have_the_numbers_of_onnx_itself() -> None:
    inside = {"TensorTypeProto": onnx.TypeProto.Tensor}
    for message, fields in MESSAGES.items():
        known = inside.get(message) or getattr(onnx, message)
        for name, (number, _) in fields.items():
            assert known.DESCRIPTOR.fields_by_name[name].number == number, (message, name)


def test_onnxruntime_is_asked_what_it_opens() -> None:
    limits = limits_of(PARSER)
    assert limits.opsets["ai.onnx"] >= 21 and limits.opsets["ai.onnx.ml"] >= 5
    assert 10 <= limits.ir_version < 100


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "model: is empty; send the bytes of one whole ONNX file"),
        (pickle.dumps({"a": 1}), "model: is a pickle, not ONNX; convert it"),
        (b"PK\x03\x04 and more", "model: is a zip archive, such as PyTorch and Keras write"),
        (b"no model at all", "model: cannot be read as ONNX"),
        (scaled(2).SerializeToString()[:-7], "model: cannot be read as ONNX"),
        (b"\x08\x07", "model: is no ONNX model: it has no graph"),
    ],
)
def test_what_is_no_model_is_named(payload: bytes, message: str) -> None:
    (found,) = told(payload)
    assert found.startswith(message)


def custom_in_a_branch(model: ModelProto) -> None:
    branch = helper.make_graph(
        [helper.make_node("Steal", [], ["stolen"], domain="evil", name="deep")],
        "branch",
        [],
        [helper.make_tensor_value_info("stolen", TensorProto.FLOAT, [None])],
    )
    node = helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)


def custom_in_a_function(model: ModelProto) -> None:
    node = helper.make_node("Steal", ["a"], ["b"], domain="evil", name="hidden")
    sets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], [node], sets))


def external(tensor: TensorProto, place: str = "/etc/passwd") -> TensorProto:
    tensor.name = tensor.name or "secret"
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def external_in_an_attribute(model: ModelProto) -> None:
    tensor = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [1.0])
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external(tensor)))


def external_in_a_sparse_one(model: ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.name = "thin"
    external(sparse.values)


def a_sequence_as_input(model: ModelProto) -> None:
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    sequence = helper.make_sequence_type_proto(kind)
    model.graph.input.append(helper.make_value_info("many", sequence))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: setattr(m, "ir_version", 99), "ir_version: is 99, and this service opens 3 to"),
        (
            lambda m: setattr(m.opset_import[0], "version", 99),
            "opset_import: version 99 of ai.onnx is none that this service has; export the model "
            "for one from 7 to 26",
        ),
        (
            lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
            "opset_import: 'com.microsoft' is no standard set of operators; "
            "use only ai.onnx and ai.onnx.ml",
        ),
        (
            lambda m: setattr(m.graph.node[0], "domain", "evil"),
            "node Mul: evil.Mul is custom; use only ai.onnx and ai.onnx.ml",
        ),
        (custom_in_a_branch, "node deep: evil.Steal is custom"),
        (custom_in_a_function, "node hidden: evil.Steal is custom"),
        (
            lambda m: external(m.graph.initializer[0]),
            "tensor factor: lies in another file, '/etc/passwd'; save the model with all",
        ),
        (external_in_an_attribute, "tensor hidden: lies in another file"),
        (external_in_a_sparse_one, "tensor thin: lies in another file"),
        (a_sequence_as_input, "input many: is no tensor"),
        (lambda m: m.graph.ClearField("input"), "inputs: there are none"),
        (lambda m: m.ClearField("opset_import"), "opset_import: names no version of ai.onnx"),
    ],
)
def test_each_fault_is_told(spoil: Spoil, message: str) -> None:
    (found,) = spoiled(spoil)
    assert found.startswith(message)


def test_every_reason_is_listed() -> None:
    def spoil(model: ModelProto) -> None:
        model.ir_version = 99
        custom_in_a_branch(model)
        external(model.graph.initializer[0])

    assert [each.partition(":")[0] for each in spoiled(spoil)] == [
        "ir_version",
        "node deep",
        "tensor factor",
    ]


def test_thousands_of_faults_do_not_make_a_long_answer() -> None:
    def spoil(model: ModelProto) -> None:
        for number in range(2000):
            model.graph.node.append(helper.make_node(f"Op{number}", [], [], domain="evil"))

    found = spoiled(spoil)
    assert len(found) == 51 and found[-1] == "model: and 1950 more problems"


def test_functions_of_the_model_itself_are_no_custom_operators() -> None:
    def define(model: ModelProto) -> None:
        node = helper.make_node("Neg", ["a"], ["b"])
        sets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "Flip", ["a"], ["b"], [node], sets))
        model.opset_import.append(helper.make_opsetid("own", 1))
        model.graph.node.append(helper.make_node("Flip", ["x"], ["z"], domain="own"))

    assert spoiled(define) == []


def test_weights_may_be_listed_among_the_inputs() -> None:
    model = identity([2])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(2, np.float32), "w"))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    assert told(model.SerializeToString()) == []
