"""Bytes → the parts of an ONNX model that are looked at here, read through protobuf alone.

The package `onnx` is not among what the service needs, and protobuf comes with onnxruntime. The
numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, where a number is
never given to another field; a test compares them with the package.
"""

from functools import cache
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from google.protobuf.message import DecodeError

__all__ = ["EXTERNAL", "DecodeError", "labels_of", "model_class"]

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
    found = pool().FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


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
    found = descriptor_pool.DescriptorPool()
    found.Add(file)
    return found


def field(name: str, number: int, kind: str) -> Any:
    """Return the description of one field."""
    declared = descriptor_pb2.FieldDescriptorProto
    found = declared(name=name, number=number)
    found.label = declared.LABEL_REPEATED if kind.startswith(MANY) else declared.LABEL_OPTIONAL
    kind = kind.removeprefix(MANY)
    if kind in MESSAGES:
        found.type, found.type_name = declared.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        found.type = declared.Type.Value(f"TYPE_{kind.upper()}")
    return found
