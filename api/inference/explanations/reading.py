"""The bytes of an exported graph → its nodes with their attributes, and its constants.

Read whole, which `api.inference.onnx_file` does not: a forest has millions of numbers. Only models
of git are read so, in a process beside the worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from api.inference.onnx_file import message_class

Array = NDArray[Any]
DTYPES: dict[int, tuple[str, str]] = {  # of TensorProto.DataType: dtype, where its values may stand
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    11: ("<f8", "double_data"),
}
VALUES: dict[int, Callable[[Any], Any]] = {  # of AttributeProto.AttributeType
    1: lambda given: given.f,
    2: lambda given: given.i,
    3: lambda given: given.s.decode(),
    4: lambda given: array_of(given.t),
    6: lambda given: np.array(given.floats, np.float32),
    7: lambda given: np.array(given.ints, np.int64),
    8: lambda given: [text.decode() for text in given.strings],
}


class UnreadableError(Exception):
    """A graph is none that can be explained exactly; never leaves this package."""


@dataclass(frozen=True)
class Node:
    """One node of a graph."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """The nodes of a graph in the order in which they run, its constants, its bytes."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    payload: bytes

    @classmethod
    def of(cls, payload: bytes) -> "Graph":
        """Read a graph; raises UnreadableError for what only a general reader would know."""
        try:
            model = message_class("WholeModelProto").FromString(payload)
        except DecodeError as error:
            raise UnreadableError(str(error)) from error
        constants = {each.name: array_of(each) for each in model.graph.initializer}
        nodes = []
        for node in model.graph.node:
            attributes = {each.name: value_of(each) for each in node.attribute}
            nodes.append(Node(node.op_type, tuple(node.input), tuple(node.output), attributes))
            if node.op_type == "Constant" and "value" in attributes:
                constants[node.output[0]] = attributes["value"]
        return cls(tuple(nodes), constants, payload)

    def showing(self, *names: str) -> bytes:
        """Return the bytes of the graph that gives nothing but these tensors of its inside."""
        model = message_class("WholeModelProto").FromString(self.payload)
        del model.graph.output[:]
        for name in names:
            model.graph.output.add(name=name)
        payload: bytes = model.SerializeToString()
        return payload


def value_of(attribute: Any) -> Any:
    """Return the value of an attribute; raises UnreadableError for a graph inside the graph."""
    if attribute.type not in VALUES:
        raise UnreadableError(f"the attribute {attribute.name!r} is of kind {attribute.type}")
    return VALUES[attribute.type](attribute)


def array_of(tensor: Any) -> Array:
    """Return the values of a tensor; raises UnreadableError."""
    if tensor.data_type not in DTYPES or tensor.data_location:
        raise UnreadableError(f"the tensor {tensor.name!r} is of kind {tensor.data_type}")
    dtype, place = DTYPES[tensor.data_type]
    if tensor.raw_data:
        values = np.frombuffer(tensor.raw_data, dtype=dtype)
    else:
        values = np.array(getattr(tensor, place), dtype=dtype)
    return values.reshape(tuple(tensor.dims))
