"""The bytes of an ONNX file: what its graph takes and gives, and the parts that an audit looks at.

onnxruntime shows a tensor of unknown rank like a single value, and maps without their classes, so
the bytes are looked at where it says too little. They are read through protobuf alone: the package
`onnx` is none that the service needs, and protobuf comes with onnxruntime. It takes a while to
import, and a worker opens no graph of a stranger's: only processes beside it import this module.
The numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, where a number is
never given to another field; a test compares them with the package.
"""

import re
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from api.inference.graph import DTYPES, Contract, TensorSpec, cut
from treeline.errors import ArtifactRejectedError

PACKAGE = "treeline.onnx"
EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL
MANY = "*"  # before the type of what is repeated

MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ModelProto": {
        "ir_version": (1, "int64"),
        "graph": (7, "GraphProto"),
        "opset_import": (8, "*OperatorSetIdProto"),
        "metadata_props": (14, "*StringStringEntryProto"),
        "training_info": (20, "*TrainingInfoProto"),
        "functions": (25, "*FunctionProto"),
    },
    "OperatorSetIdProto": {"domain": (1, "string"), "version": (2, "int64")},
    "StringStringEntryProto": {"key": (1, "string"), "value": (2, "string")},
    "TrainingInfoProto": {"initialization": (1, "GraphProto"), "algorithm": (2, "GraphProto")},
    "FunctionProto": {
        "name": (1, "string"),
        "node": (7, "*NodeProto"),
        "opset_import": (9, "*OperatorSetIdProto"),
        "domain": (10, "string"),
        "attribute_proto": (11, "*AttributeProto"),
        "overload": (13, "string"),
    },
    "GraphProto": {
        "node": (1, "*NodeProto"),
        "name": (2, "string"),
        "initializer": (5, "*TensorProto"),
        "input": (11, "*ValueInfoProto"),
        "output": (12, "*ValueInfoProto"),
        "sparse_initializer": (15, "*SparseTensorProto"),
    },
    "NodeProto": {
        "input": (1, "*string"),
        "output": (2, "*string"),
        "name": (3, "string"),
        "op_type": (4, "string"),
        "attribute": (5, "*AttributeProto"),
        "domain": (7, "string"),
    },
    "AttributeProto": {
        "name": (1, "string"),
        "t": (5, "TensorProto"),
        "g": (6, "GraphProto"),
        "tensors": (10, "*TensorProto"),
        "graphs": (11, "*GraphProto"),
        "sparse_tensor": (22, "SparseTensorProto"),
        "sparse_tensors": (23, "*SparseTensorProto"),
    },
    "LabelledProto": {"attribute": (5, "*LabelsProto")},
    "LabelsProto": {
        "name": (1, "string"),
        "ints": (8, "*int64"),
        "strings": (9, "*bytes"),
    },
    "TensorProto": {
        "name": (8, "string"),
        "external_data": (13, "*StringStringEntryProto"),
        "data_location": (14, "int32"),
    },
    "SparseTensorProto": {"values": (1, "TensorProto"), "indices": (2, "TensorProto")},
    "ValueInfoProto": {"name": (1, "string"), "type": (2, "TypeProto")},
    "TypeProto": {"tensor_type": (1, "TensorTypeProto")},
    "TensorTypeProto": {"elem_type": (1, "int32"), "shape": (2, "TensorShapeProto")},
    "TensorShapeProto": {"dim": (1, "*DimensionProto")},
    "DimensionProto": {"dim_param": (2, "string")},
    # what is read of a graph that is explained: api.inference.explanations.reading
    "WholeModelProto": {"graph": (7, "WholeGraphProto")},
    "WholeGraphProto": {
        "node": (1, "*WholeNodeProto"),
        "initializer": (5, "*WholeTensorProto"),
        "output": (12, "*ValueInfoProto"),
    },
    "WholeNodeProto": {
        "input": (1, "*string"),
        "output": (2, "*string"),
        "op_type": (4, "string"),
        "attribute": (5, "*WholeAttributeProto"),
    },
    "WholeAttributeProto": {
        "name": (1, "string"),
        "f": (2, "float"),
        "i": (3, "int64"),
        "s": (4, "bytes"),
        "t": (5, "WholeTensorProto"),
        "floats": (7, "*float"),
        "ints": (8, "*int64"),
        "strings": (9, "*bytes"),
        "type": (20, "int32"),
    },
    "WholeTensorProto": {
        "dims": (1, "*int64"),
        "data_type": (2, "int32"),
        "float_data": (4, "*float"),
        "int32_data": (5, "*int32"),
        "int64_data": (7, "*int64"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
        "double_data": (10, "*double"),
        "data_location": (14, "int32"),
    },
}


def model_class() -> Any:
    """Return the class of a model, which reads and writes the fields above and keeps the others."""
    return message_class("ModelProto")


def labels_of(node: Any) -> tuple[str, ...] | tuple[int, ...]:
    """Return the classes that a ZipMap gives its numbers to; none where it names none.

    They are read here alone: a forest has millions of numbers in its attributes.
    """
    read = message_class("LabelledProto").FromString(node.SerializeToString())
    named = {each.name: each for each in read.attribute}
    if texts := named.get("classlabels_strings"):
        return tuple(text.decode(errors="replace") for text in texts.strings)
    if numbers := named.get("classlabels_int64s"):
        return tuple(numbers.ints)
    return ()


@cache
def message_class(name: str) -> Any:
    """Return the class of one kind of message."""
    descriptor = pool().FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


@cache
def pool() -> Any:
    """Return all kinds of messages, as protobuf knows them."""
    file = descriptor_pb2.FileDescriptorProto(
        name="treeline/onnx.proto", package=PACKAGE, syntax="proto3"
    )
    for message, fields in MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            declared.field.append(field(name, number, kind))
    descriptors = descriptor_pool.DescriptorPool()
    descriptors.Add(file)
    return descriptors


def field(name: str, number: int, kind: str) -> Any:
    """Return the description of one field."""
    declared = descriptor_pb2.FieldDescriptorProto
    descriptor = declared(name=name, number=number)
    descriptor.label = declared.LABEL_REPEATED if kind.startswith(MANY) else declared.LABEL_OPTIONAL
    kind = kind.removeprefix(MANY)
    if kind in MESSAGES:
        descriptor.type, descriptor.type_name = declared.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        descriptor.type = declared.Type.Value(f"TYPE_{kind.upper()}")
    return descriptor


# What ZipMap makes of the probabilities of a classifier: for each row, a number by class.
ZIPPED = {"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"}
SEQUENCE = re.compile(r"seq\((tensor\(\w+\))\)")


def contract_of(model: str, session: Any, payload: bytes) -> Contract:
    """Return what a graph takes and gives; raises ArtifactRejectedError for what no array is."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    doubtful = any(not each.shape for each in (*inputs, *outputs))  # maps have no shape either
    graph = model_class().FromString(payload).graph if doubtful else None
    return Contract(
        inputs=tuple(tensor_of(model, each, graph) for each in inputs),
        outputs=tuple(output_of(model, each, graph) for each in outputs),
    )


def output_of(model: str, entry: Any, graph: Any) -> TensorSpec:
    """Return what an output is; raises ArtifactRejectedError."""
    if entry.type in ZIPPED:
        classes = classes_of(model, entry.name, graph)
        return TensorSpec(entry.name, "float32", (None, len(classes)), classes)
    if sequence := SEQUENCE.fullmatch(entry.type):
        dtype = dtype_of(model, entry.name, sequence[1])
        return TensorSpec(entry.name, dtype, None, sequence=True)
    return tensor_of(model, entry, graph)


def tensor_of(model: str, entry: Any, graph: Any) -> TensorSpec:
    """Return what a tensor is; raises ArtifactRejectedError."""
    dtype = dtype_of(model, entry.name, entry.type)
    if not entry.shape and of_unknown_rank(entry.name, graph):
        return TensorSpec(entry.name, dtype, None)
    free = (size if isinstance(size, int) and size >= 0 else None for size in entry.shape)
    return TensorSpec(entry.name, dtype, tuple(free))


def dtype_of(model: str, name: str, kind: str) -> str:
    """Return the dtype of a type of onnxruntime; raises ArtifactRejectedError."""
    if kind not in DTYPES:
        raise ArtifactRejectedError(
            f"{model}: {cut(name)!r} is {kind}, which no plain array can carry; "
            f"export it as one of: {', '.join(DTYPES)}"
        )
    return DTYPES[kind]


def of_unknown_rank(name: str, graph: Any) -> bool:
    """Tell whether a graph declares a tensor without any shape."""
    for each in (*graph.input, *graph.output):
        if each.name == name and each.type.tensor_type.HasField("shape"):
            return False
    return True


def classes_of(model: str, name: str, graph: Any) -> tuple[str, ...] | tuple[int, ...]:
    """Return the classes of the maps of an output; raises ArtifactRejectedError."""
    for node in graph.node:
        if node.op_type == "ZipMap" and name in node.output and (labels := labels_of(node)):
            return labels
    raise ArtifactRejectedError(
        f"{model}: {cut(name)!r} is made of maps, and no ZipMap of the graph itself says by which "
        "classes; export it with tensors (in skl2onnx the option zipmap=False)"
    )
