"""ONNX files: their protobuf changed by field, their graphs by node, and hostile ones by hand."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.fuzz import models
from tests.fuzz.cases import Format, Mutator, Request
from tests.fuzz.mutating import BLIND, WIDE
from tests.fuzz.protobuf import change_field, change_number, field, nested
from tests.fuzz.records import named
from tests.tiny_graphs import endless, greedy, identity, model, product, scaled
from treeline.artifact.onnx import SIGNATURE_KEY

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
NAME = "fuzzed"
OPERATORS = [
    "Identity",
    "Add",
    "Relu",
    "MatMul",
    "Tile",
    "Expand",
    "ConstantOfShape",
    "Range",
    "Pad",
    "Resize",
    "Loop",
    "Scan",
    "If",
    "Gather",
    "GatherND",
    "ScatterElements",
    "OneHot",
    "Reshape",
    "Shape",
    "RandomNormal",
    "RandomUniformLike",
    "Multinomial",
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "LSTM",
    "TopK",
    "NonMaxSuppression",
    "NonZero",
    "Einsum",
    "StringNormalizer",
    "TfIdfVectorizer",
    "RegexFullMatch",
    "StringSplit",
    "SequenceAt",
    "SplitToSequence",
    "QuantizeLinear",
    "DFT",
    "STFT",
    "MelWeightMatrix",
    "BlackmanWindow",
    "EyeLike",
    "CumSum",
    "Unique",
    "TreeEnsembleClassifier",
    "LabelEncoder",
    "DictVectorizer",
    "ZipMap",
    "SVMClassifier",
    "FusedMatMul",
]


def payload(make: Callable[[], ModelProto]) -> Callable[[], bytes]:
    """Return a maker of the bytes of a model."""
    return lambda: make().SerializeToString()


def simple(*nodes: NodeProto, **constants: np.ndarray) -> ModelProto:
    """Return a model of one input `x` and one output `y`, of any sizes."""
    return model(list(nodes), [("x", FLOAT, [None])], [("y", FLOAT, None)], constants=constants)


def node(kind: str, *inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    """Return a node of one output."""
    return helper.make_node(kind, list(inputs), [output], **attributes)


def repeated() -> ModelProto:
    """Return a model of 150 bytes that makes a gigabyte of a constant when it is opened."""
    times = np.array([1 << 28], dtype=np.int64)
    return simple(
        node("Tile", "one", "times", output="huge"),
        node("ReduceSum", "huge", output="sum", keepdims=0),
        node("Add", "x", "sum"),
        one=np.ones(1, dtype=np.float32),
        times=times,
    )


def doubled(times: int) -> ModelProto:
    """Return a model that joins a value with itself, and what comes of it again, many times."""
    nodes = [node("Concat", f"v{at}", f"v{at}", output=f"v{at + 1}", axis=0) for at in range(times)]
    return simple(
        node("Identity", "x", output="v0"), *nodes, node("ReduceSum", f"v{times}", keepdims=0)
    )


def deep(depth: int) -> ModelProto:
    """Return a model of graphs within graphs."""
    value = helper.make_tensor_value_info("i", FLOAT, None)
    inner = helper.make_graph([node("Identity", "x", output="i")], "leaf", [], [value])
    for at in range(depth):
        branch = helper.make_node(
            "If", ["yes"], ["i"], then_branch=inner, else_branch=inner if at < 1 else leaf()
        )
        inner = helper.make_graph([branch], f"g{at}", [], [value])
    last = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=leaf())
    return simple(last, yes=np.array(True))


def leaf() -> object:
    """Return a graph of one node."""
    value = helper.make_tensor_value_info("e", FLOAT, None)
    return helper.make_graph([node("Identity", "x", output="e")], "else", [], [value])


def functions(domain: str, name: str) -> ModelProto:
    """Return a model that defines a function of its own and calls it."""
    body = helper.make_node("Sub", ["a", "b"], ["c"])
    function = helper.make_function(
        domain, name, ["a", "b"], ["c"], [body], [helper.make_opsetid("", 17)]
    )
    graph = simple(helper.make_node(name, ["x", "x"], ["y"], domain=domain))
    graph.functions.append(function)
    graph.opset_import.append(helper.make_opsetid(domain, 1))
    return graph


def calling(depth: int, width: int) -> ModelProto:
    """Return a model of functions that each call the one before several times."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    graph = simple(helper.make_node(f"f{depth}", ["x"], ["y"], domain="own"))
    first = helper.make_function(
        "own", "f0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], opsets
    )
    made = [first]
    for at in range(depth):
        calls = [
            helper.make_node(
                f"f{at}", ["a" if turn == 0 else f"t{turn}"], [f"t{turn + 1}"], domain="own"
            )
            for turn in range(width)
        ]
        calls[-1].output[:] = ["b"]
        made.append(helper.make_function("own", f"f{at + 1}", ["a"], ["b"], calls, opsets))
    graph.functions.extend(made)
    graph.opset_import.append(opsets[1])
    return graph


def external(location: str) -> ModelProto:
    """Return a model whose constant lies in another file."""
    graph = scaled(2)
    constant = graph.graph.initializer[0]
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value=location)
    return graph


def sized(*dims: int, raw: bytes = b"") -> ModelProto:
    """Return a model whose constant says to have another shape."""
    graph = scaled(2)
    constant = graph.graph.initializer[0]
    constant.dims[:] = dims
    constant.raw_data = raw
    return graph


def named_by(text: str) -> ModelProto:
    """Return a model of long or odd names."""
    graph = model(
        [node("Identity", text, output="y" + text)],
        [(text, FLOAT, [None])],
        [("y" + text, FLOAT, [None])],
    )
    graph.producer_name = graph.doc_string = text
    return graph


def claiming(**claims: object) -> ModelProto:
    """Return a model that takes records, and says other things of itself."""
    graph = models.typed()
    (prop,) = [each for each in graph.metadata_props if each.key == SIGNATURE_KEY]
    prop.value = json.dumps({**json.loads(prop.value), **claims})
    return graph


def wide(count: int) -> ModelProto:
    """Return a model of many nodes."""
    nodes = [
        node("Identity", "x" if at == 0 else f"n{at}", output=f"n{at + 1}") for at in range(count)
    ]
    return simple(*nodes, node("Identity", f"n{count}"))


def many_inputs(count: int) -> ModelProto:
    """Return a model of many inputs."""
    names = [f"x{at}" for at in range(count)]
    return model([node("Sum", *names)], [(name, FLOAT, [1]) for name in names], [("y", FLOAT, [1])])


def chosen(value: float) -> ModelProto:
    """Return a model that makes much only where its input is another than zero."""
    return simple(
        node("ReduceMax", "x", output="most", keepdims=0),
        node("Abs", "most", output="size"),
        node("Mul", "size", "many", output="times"),
        node("Cast", "times", output="count", to=INT64),
        node("Reshape", "count", "one", output="shape"),
        node("ConstantOfShape", "shape", output="zeros"),
        node("ReduceSum", "zeros", keepdims=0),
        many=np.array(value, dtype=np.float32),
        one=np.array([1], dtype=np.int64),
    )


FORGED = "\x85\u2028\x1b[2J\r\nforged"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a pickle": lambda: b"\x80\x04\x95" + b"\0" * 100,
    "zeros": lambda: b"\0" * 3_000_000,
    "groups": lambda: b"\x0b" * 500_000,
    "messages in messages": lambda: nested(3_000),
    "empty nodes": lambda: field(7, field(1, b"") * 800_000) + field(8, b"\x10\x11") + b"\x08\x08",
    "empty constants": lambda: (
        field(7, field(5, b"") * 800_000) + field(8, b"\x10\x11") + b"\x08\x08"
    ),
    "empty functions": lambda: payload(lambda: scaled(2))() + field(25, b"") * 800_000,
    "empty operator sets": lambda: payload(lambda: scaled(2))() + field(8, b"") * 800_000,
    "empty properties": lambda: payload(lambda: scaled(2))() + field(14, b"") * 800_000,
    "a tile of a gigabyte": payload(repeated),
    "2^33 values by doubling": payload(lambda: doubled(33)),
    "2^24 values by doubling": payload(lambda: doubled(24)),
    "2^20000 values": payload(lambda: doubled(20_000)),
    "graphs in graphs": payload(lambda: deep(10)),
    "many graphs in graphs": payload(lambda: deep(30)),
    "a function named like a kernel": payload(lambda: functions("com.microsoft", "FusedMatMul")),
    "a function of ai.onnx": payload(lambda: functions("ai.onnx", "Add")),
    "a function of ai.onnx.ml": payload(lambda: functions("ai.onnx.ml", "Scaler")),
    "a function of nobody": payload(lambda: functions("own", "Odd")),
    "functions that call functions": payload(lambda: calling(20, 4)),
    "functions that call many": payload(lambda: calling(60, 8)),
    "endless": payload(endless),
    "greedy": payload(greedy),
    "greedy when asked": payload(lambda: chosen(7e8)),
    "looping when asked": payload(models.looping),
    "a file of the system": payload(lambda: external("/etc/passwd")),
    "a file above": payload(lambda: external("../../../../etc/passwd")),
    "a constant without end": payload(lambda: sized(2**31, 2**31)),
    "a constant beyond 64 bits": payload(lambda: sized(2**62, 4)),
    "a constant below zero": payload(lambda: sized(-1, raw=b"\0" * 4)),
    "a constant too short": payload(lambda: sized(1_000, 1_000, raw=b"\0" * 8)),
    "long names": payload(lambda: named_by("x" * 1_000_000)),
    "names that forge lines": payload(lambda: named_by(FORGED)),
    "a long version": payload(lambda: claiming(version="x" * 300_000)),
    "a version that forges lines": payload(lambda: claiming(version=FORGED)),
    "a long description": payload(lambda: claiming(description="x" * 1_000_000)),
    "metrics of their own": payload(
        lambda: claiming(metrics={f"m{at}": at for at in range(50_000)})
    ),
    "another runtime": payload(lambda: claiming(runtime="pickle")),
    "a name that forges lines": payload(lambda: claiming(name=FORGED)),
    "many features": payload(
        lambda: claiming(features={f"f{at}": {"type": "number"} for at in range(20_000)})
    ),
    "many nodes": payload(lambda: wide(20_000)),
    "many inputs": payload(lambda: many_inputs(3_000)),
    "a picture of a pixel": payload(lambda: identity([None, 1, 1, 1])),
    "random numbers": payload(lambda: simple(node("RandomNormal", shape=[30_000, 30_000]))),
    "a resize": payload(
        lambda: simple(node("Resize", "x", "", "scale"), scale=np.array([1e9], dtype=np.float32))
    ),
    "an expansion": payload(lambda: simple(node("Expand", "x", "to"), to=np.array([2**33, 1]))),
    "a pad": payload(lambda: simple(node("Pad", "x", "by"), by=np.array([2**32, 2**32]))),
    "a one-hot": payload(
        lambda: simple(
            node("OneHot", "x", "depth", "values"),
            depth=np.array(2**33),
            values=np.array([0, 1], dtype=np.float32),
        )
    ),
    "a range": payload(
        lambda: simple(
            node("Range", "a", "b", "c"), a=np.array(0.0), b=np.array(1e12), c=np.array(1.0)
        )
    ),
    "a slow pattern": payload(
        lambda: model(
            [helper.make_node("RegexFullMatch", ["x"], ["y"], pattern="(a*)*b" * 50)],
            [("x", TensorProto.STRING, [None])],
            [("y", TensorProto.BOOL, [None])],
            opset=20,
        )
    ),
    "convolutions": payload(
        lambda: model(
            [node("Conv", "x", "w", pads=[5_000] * 4)],
            [("x", FLOAT, [1, 1, 8, 8])],
            [("y", FLOAT, None)],
            constants={"w": np.ones((1, 1, 64, 64), dtype=np.float32)},
        )
    ),
    "a pool beyond": payload(
        lambda: model(
            [node("MaxPool", "x", kernel_shape=[2**31, 2**31])],
            [("x", FLOAT, [1, 1, 8, 8])],
            [("y", FLOAT, None)],
        )
    ),
}


def change_node(random: Random, body: bytes) -> bytes:
    """Give a node another operator, other attributes or inputs, or add one."""
    graph = ModelProto()
    try:
        graph.ParseFromString(body)
    except DecodeError:
        return body
    names = [name for each in graph.graph.node for name in (*each.input, *each.output)]
    names += [each.name for each in graph.graph.initializer] or ["x"]
    if not graph.graph.node or random.random() < 0.3:
        graph.graph.node.add(output=[random.choice((*names, "new"))])
    changed = random.choice(graph.graph.node)
    changed.op_type = random.choice(OPERATORS)
    changed.domain = random.choice(("", "", "", "ai.onnx.ml", "com.microsoft"))
    changed.input[:] = [random.choice(names) for _ in range(random.randrange(5))]
    for name in random.sample(
        ("axis", "to", "keepdims", "shape", "kernel_shape", "pads", "equation", "dtype"), 2
    ):
        value: object = random.choice(
            (1, -1, 2**31, [1, 1], [2**31] * 2, [2**62], "ij,jk->ik", 0.5)
        )
        changed.attribute.append(helper.make_attribute(name, value))
    return graph.SerializeToString()


def change_constant(random: Random, body: bytes) -> bytes:
    """Give a graph other constants: sizes at the edge of something."""
    graph = ModelProto()
    try:
        graph.ParseFromString(body)
    except DecodeError:
        return body
    for constant in graph.graph.initializer:
        if random.random() < 0.5:
            kind = random.choice((np.int64, np.float32))
            values = np.array([random.choice(WIDE) for _ in range(random.randrange(4))]).astype(
                np.float64
            )
            with np.errstate(all="ignore"):
                constant.CopyFrom(numpy_helper.from_array(values.astype(kind), constant.name))
    return graph.SerializeToString()


AWARE: tuple[Mutator, ...] = (
    change_field,
    change_field,
    change_number,
    change_node,
    change_node,
    change_constant,
)


def of_onnx() -> Format:
    """Return the format of ONNX files that are uploaded."""
    headers = {"Content-Type": "application/onnx", "Authorization": "Bearer {key}"}
    put = Request("PUT", f"/v1/models/{NAME}", headers=headers)
    seeds: dict[str, Callable[[], bytes]] = {
        name: payload(make)
        for name, make in {
            "scaled": lambda: scaled(2),
            "product": product,
            "typed": models.typed,
            "looping": models.looping,
            "tiling": models.tiling,
            "words": lambda: identity([None], TensorProto.STRING),
            "chosen": lambda: chosen(10),
            "functions": lambda: functions("own", "Odd"),
        }.items()
    }
    return Format("onnx", named(put, seeds), named(put, HOSTILE), (*AWARE, *AWARE, *BLIND))
