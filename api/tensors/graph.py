"""One ONNX graph in memory: arrays by input name → arrays by output name. Knows no JSON, no HTTP.

Arrays have the dtype that their `TensorSpec` names; strings are arrays of objects.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.errors import ArtifactRejectedError

# As in treeline.artifact.onnx: asked for once, when onnxruntime is imported; so this comes first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

Array = NDArray[Any]
STRING = "string"
DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": STRING,
}
# What ZipMap makes of the probabilities of a classifier: for each row, a number by class.
ZIPPED = {"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"}
# Where in its own source onnxruntime found a fault, with the signature of a function of it.
OWN_PLACES = re.compile(r"/\S+?:\d+ [^\n]*?\)(?: const)? (?=[A-Z(])")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its dtype as numpy names it, or `string`; None is a free dimension."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class TensorModel:
    """A graph without a signature, on one thread. It may run in several threads at once."""

    def __init__(self, name: str, version: str, session: onnxruntime.InferenceSession) -> None:
        """Raises ArtifactRejectedError for what no plain array can carry."""
        self.name = name
        self.version = version
        self._session = session
        self.inputs = tuple(spec_of(name, entry, zipped=False) for entry in session.get_inputs())
        self.outputs = tuple(spec_of(name, entry, zipped=True) for entry in session.get_outputs())
        self.free = tuple(free_axes(entry) for entry in session.get_inputs())
        """By input, the names of its free dimensions by axis; those of one name have one size."""
        if not self.inputs:
            raise ArtifactRejectedError(f"{name}: its graph has no input to give values to")

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name; whatever onnxruntime refuses is raised as it is."""
        found = self._session.run(None, dict(feeds))
        return {
            spec.name: each if isinstance(each, np.ndarray) else unzipped(each)
            for spec, each in zip(self.outputs, found, strict=True)
        }


def open_session(payload: bytes, *, place: str) -> onnxruntime.InferenceSession:
    """Open the bytes of a graph that stand at `place`; raises ArtifactRejectedError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # workers are the parallelism
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest request for ever
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        raise ArtifactRejectedError(
            f"{place}: onnxruntime cannot open it: {one_line(error)}"
        ) from error


def spec_of(model: str, entry: Any, *, zipped: bool) -> TensorSpec:
    """Return what onnxruntime says of an input or output; `zipped` admits those of a ZipMap."""
    if zipped and entry.type in ZIPPED:
        return TensorSpec(entry.name, "float32", (None, None))
    if entry.type not in DTYPES:
        raise ArtifactRejectedError(
            f"{model}: {entry.name!r} is {entry.type}, which no plain array can carry; "
            f"export it as one of: {', '.join(DTYPES)}"
        )
    free = (size if isinstance(size, int) and size >= 0 else None for size in entry.shape)
    return TensorSpec(entry.name, DTYPES[entry.type], tuple(free))


def free_axes(entry: Any) -> dict[int, str]:
    """Return the names of the free dimensions of an input; one without a name gets its own."""
    return {
        axis: size if isinstance(size, str) and size else f"{entry.name}.{axis}"
        for axis, size in enumerate(entry.shape)
        if not isinstance(size, int) or size < 0
    }


def unzipped(rows: list[dict[Any, float]]) -> Array:
    """Return the numbers of a ZipMap, float32 of shape (n_rows, n_classes)."""
    return np.array([list(row.values()) for row in rows], dtype=np.float32)


def one_line(error: Exception) -> str:
    """Return what onnxruntime says of a fault, on one line of bearable length."""
    text = " ".join(OWN_PLACES.sub("", str(error)).split())
    return text if len(text) <= 400 else text[:400] + "…"
