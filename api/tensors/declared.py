"""What onnxruntime says of a graph, and its bytes where it says too little → inputs and outputs.

It shows a tensor of unknown rank like a single value, and maps without the classes they are by.
"""

import re
from typing import Any

from api.tensors.graph import DTYPES, Contract, TensorSpec, cut
from api.tensors.protobuf import labels_of, model_class
from treeline.errors import ArtifactRejectedError

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
        if node.op_type == "ZipMap" and name in node.output and (found := labels_of(node)):
            return found
    raise ArtifactRejectedError(
        f"{model}: {cut(name)!r} is made of maps, and no ZipMap of the graph itself says by which "
        "classes; export it with tensors (in skl2onnx the option zipmap=False)"
    )


def free_axes(entry: Any) -> dict[int, str]:
    """Return the names of the free dimensions of an input; one without a name gets its own."""
    return {
        axis: size if isinstance(size, str) and size else f"{entry.name}.{axis}"
        for axis, size in enumerate(entry.shape)
        if not isinstance(size, int) or size < 0
    }
