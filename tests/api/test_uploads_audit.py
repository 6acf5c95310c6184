"""An uploaded model is read before it is opened, and every reason to refuse it is told."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state

from api.inference.onnx_file import MESSAGES, model_class
from api.models.audit import OWN, Limits, audit, limits_of
from tests.tiny_graphs import identity, scaled

LIMITS = Limits(ir_version=13, opsets={"ai.onnx": 26, "ai.onnx.ml": 5, "com.microsoft": 1})
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
    inside = {
        "TensorTypeProto": onnx.TypeProto.Tensor,
        "DimensionProto": onnx.TensorShapeProto.Dimension,
        "LabelledProto": onnx.NodeProto,
        "LabelsProto": onnx.AttributeProto,
    }
    for message, fields in MESSAGES.items():
        known: Any = inside.get(message) or getattr(onnx, message.removeprefix("Whole"))
        for name, (number, _) in fields.items():
            assert known.DESCRIPTOR.fields_by_name[name].number == number, (message, name)


def test_onnxruntime_is_asked_what_it_opens() -> None:
    limits = limits_of(PARSER)
    assert 21 <= limits.opsets["ai.onnx"] < 100 and 5 <= limits.opsets["ai.onnx.ml"] < 100
    assert limits.opsets["com.microsoft"] == 1
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


def function_of(model: ModelProto, *sets: onnx.OperatorSetIdProto) -> None:
    node = helper.make_node("Neg", ["a"], ["b"])
    model.functions.append(helper.make_function("own", "Flip", ["a"], ["b"], [node], sets))


def old_in_a_function(model: ModelProto) -> None:
    function_of(model, helper.make_opsetid("", 6))


def nothing_imported_in_a_function(model: ModelProto) -> None:
    function_of(model)


def own_function_not_imported(model: ModelProto) -> None:
    function_of(model, helper.make_opsetid("", 17))
    model.graph.node.append(helper.make_node("Flip", ["x"], ["z"], domain="own"))


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
            lambda m: setattr(m.graph.node[0], "domain", "evil"),
            "node Mul: evil.Mul is custom; use only ai.onnx, ai.onnx.ml and what onnxruntime",
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
        (
            lambda m: m.ClearField("opset_import"),
            "opset_import: names no version of ai.onnx, which node Mul uses; export the model",
        ),
        (
            lambda m: m.graph.node.add(op_type="Scaler", domain="ai.onnx.ml"),
            "opset_import: names no version of ai.onnx.ml, which node Scaler uses",
        ),
        (
            old_in_a_function,
            "opset_import: version 6 of ai.onnx is none that this service has",
        ),
        (
            nothing_imported_in_a_function,
            "opset_import: names no version of ai.onnx, which node Neg uses",
        ),
        (
            own_function_not_imported,
            "opset_import: names no version of own, which node Flip uses",
        ),
    ],
)
def test_each_fault_is_told(spoil: Spoil, message: str) -> None:
    (found,) = spoiled(spoil)
    assert found.startswith(message)


RUN_TIME = "com.microsoft"
NO_OPERATOR = "is none of onnxruntime's own operators that are admitted"


@pytest.mark.parametrize(
    ("operator", "domain", "given", "message"),
    [
        ("FusedConv", RUN_TIME, "xw", None),
        ("QLinearAdd", RUN_TIME, "abcdefgh", None),
        ("MatMulNBits", RUN_TIME, "abc", None),
        ("BeamSearch", RUN_TIME, "abc", NO_OPERATOR),
        ("Tokenizer", RUN_TIME, "x", NO_OPERATOR),
        ("EPContext", RUN_TIME, "x", NO_OPERATOR),
        ("GroupQueryAttention", RUN_TIME, "qkvpnst", NO_OPERATOR),
        ("MultiHeadAttention", RUN_TIME, "qkv", None),
        ("QAttention", RUN_TIME, "xwbst", NO_OPERATOR),
        ("QLinearWhere", RUN_TIME, "cxszyszsz", NO_OPERATOR),
        ("fusedconv", RUN_TIME, "xw", NO_OPERATOR),
        ("Attention", RUN_TIME, "xwb", None),
        ("Attention", RUN_TIME, "xw", "has no bias"),
        ("Attention", RUN_TIME, "xw m", "has no bias"),
        ("EmbedLayerNormalization", RUN_TIME, "iswpsgbm", None),
        ("EmbedLayerNormalization", RUN_TIME, "iswpsgb p", "is given positions"),
        ("QLinearConcat", RUN_TIME, "szabc", None),
        ("QLinearConcat", RUN_TIME, "sza c", "leaves an input out"),
        ("Conv", "com.microsoft.nchwc", "xw", "is for the layout of one kind of processor"),
        ("Conv", "com.ms.internal.nhwc", "xw", "is for the layout of one kind of processor"),
        ("ATen", "org.pytorch.aten", "x", "is custom"),
        ("Gelu", "ai.onnx.training", "x", "is custom"),
    ],
)
def test_operators_of_the_runtime_are_admitted_by_name(
    operator: str, domain: str, given: str, message: str | None
) -> None:
    def use(model: ModelProto) -> None:
        names = [each.strip() for each in given]
        model.graph.node.append(helper.make_node(operator, names, ["z"], domain=domain))
        model.opset_import.append(helper.make_opsetid(domain, 1))

    if message is None:
        assert spoiled(use) == []
    else:
        (found,) = spoiled(use)
        assert found.startswith(f"node {operator}: {domain}.{operator} {message}")


@pytest.mark.parametrize("name", sorted(OWN))
def test_an_admitted_operator_of_the_runtime_runs_here_and_takes_values_only(name: str) -> None:
    here = onnxruntime_pybind11_state
    kernels = {
        (kernel.op_name, kernel.provider)
        for kernel in here.get_all_opkernel_def()
        if kernel.domain == "com.microsoft"
    }
    assert (name, "CPUExecutionProvider") in kernels
    (schema,) = (
        each
        for each in here.get_all_operator_schema()
        if (each.domain, each.name) == ("com.microsoft", name)
    )
    kinds = {str(each.type).rpartition(".")[2] for each in schema.attributes.values()}
    assert kinds <= {"INT", "INTS", "FLOAT", "FLOATS", "STRING", "STRINGS"}  # and no graph


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


@pytest.mark.parametrize(
    "unused",
    [
        *(("com.microsoft", 1), ("com.microsoft.nchwc", 1), ("com.ms.internal.nhwc", 26)),
        *(("ai.onnx.ml", 99), ("ai.onnx.training", 1), ("evil", 7)),
    ],
    ids=lambda unused: str(unused[0]),
)
def test_operators_that_no_node_uses_need_no_version(unused: tuple[str, int]) -> None:
    """Where onnxruntime saves a model, it imports every set that it has."""
    assert spoiled(lambda m: m.opset_import.append(helper.make_opsetid(*unused))) == []


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


@pytest.mark.parametrize(
    "domain",
    [
        *("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"),
        *("com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental"),
        *("com.ms.internal.nhwc", "org.pytorch.aten"),
    ],
)
def test_functions_in_domains_of_the_runtime_are_refused(domain: str) -> None:
    """There the runtime has kernels of its own, which are run instead of the function."""

    def shadow(model: ModelProto) -> None:
        sets = [helper.make_opsetid("", 17)]
        node = helper.make_node("Neg", ["a"], ["b"])
        model.functions.append(helper.make_function(domain, "Gelu", ["a"], ["b"], [node], sets))

    assert any("a domain of the runtime" in each for each in spoiled(shadow))


def test_a_function_that_is_defined_twice_is_refused() -> None:
    def double(model: ModelProto) -> None:
        sets = [helper.make_opsetid("", 17)]
        for operator in ("Neg", "Abs"):
            node = helper.make_node(operator, ["a"], ["b"])
            model.functions.append(helper.make_function("own", "F", ["a"], ["b"], [node], sets))

    assert any("defined more than once" in each for each in spoiled(double))


def nested(depth: int) -> bytes:
    """Return a model whose branches lie in one another, with a custom operator in the deepest."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2]) + varint(len(payload)) + payload

    deepest = helper.make_node("Steal", [], ["stolen"], domain="evil", name="deep")
    graph = field(1, deepest.SerializeToString())
    for _ in range(depth):
        branch = onnx.AttributeProto(name="then_branch", type=onnx.AttributeProto.GRAPH)
        node = onnx.NodeProto(op_type="If", input=["yes"], output=["z"])
        inside = branch.SerializeToString() + field(6, graph)
        graph = field(1, node.SerializeToString() + field(5, inside))
    model = scaled(2).SerializeToString()
    return model + field(7, graph)  # a second graph joins the first one


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


@pytest.mark.parametrize(
    ("depth", "message"),
    [(25, "node deep: evil.Steal is custom"), (3000, "model: cannot be read as ONNX")],
)
def test_branches_that_lie_deep_in_one_another_hide_nothing(depth: int, message: str) -> None:
    (found,) = told(nested(depth))
    assert found.startswith(message)


def test_names_that_would_be_repeated_are_limited_and_faults_are_told_shortly() -> None:
    long = "x" * 1_000_000

    def lengthen(model: ModelProto) -> None:
        model.graph.input[0].name = long
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = long
        for _ in range(100):
            model.graph.node.add(op_type=long, domain=long, name=long)

    faults = spoiled(lengthen)
    assert any("has a name of 1000000 characters" in each for each in faults)
    assert sum(map(len, faults)) < 100_000


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([str(number) for number in range(5000)], None),
        ([str(number) for number in range(5001)], "names 5001 classes, with 18894"),
        (["x" * 80_001], "names 1 classes, with 80001 characters together; 5000 of 80000"),
    ],
    ids=["many", "too many", "too long"],
)
def test_classes_are_counted(classes: list[str], message: str | None) -> None:
    def zip_up(model: ModelProto) -> None:
        labels: dict[str, Any] = {"classlabels_strings": classes}
        node = helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", **labels)
        model.graph.node.append(node)
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))

    found = spoiled(zip_up)
    assert [each.startswith(f"node ZipMap: {message}") for each in found] == [True] * bool(message)


def test_inputs_and_outputs_are_counted() -> None:
    def multiply(model: ModelProto) -> None:
        for number in range(1001):
            model.graph.output.add(name=f"y{number}")

    assert any("outputs: there are 1002" in each for each in spoiled(multiply))
