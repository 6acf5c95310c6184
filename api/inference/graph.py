"""A stranger's ONNX graph as a worker knows it: a file, what it takes and gives.

It is opened and run elsewhere: `api.inference.sessions`.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Output = Array | list[Array]  # of a sequence
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
MOST_RANK = 32
MOST_SHOWN = 100  # characters of a name or a text of a file, wherever it is repeated


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Its dtype is what numpy names it, or `string`. None is a free dimension; instead of a shape, it
    says that the graph declares none. Where it has `classes`, the columns are theirs, and each row
    is answered as numbers by class. A `sequence` is any number of such tensors.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    classes: tuple[str, ...] | tuple[int, ...] = ()
    sequence: bool = False


@dataclass(frozen=True)
class Contract:
    """What a graph takes and gives; where it carries a signature, only that."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    signature: str | None = None


@dataclass(frozen=True)
class GraphFile:
    """Where the bytes of a graph are, and their digest; `name` is for messages."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True, eq=False)
class TensorModel:
    """A graph without a signature, under the name and version that it is served in."""

    name: str
    version: str
    graph: GraphFile
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def cut(text: str) -> str:
    """Return a text of a file, cut to what may be repeated."""
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def free_axes(entry: Any) -> dict[int, str]:
    """Return the names of the free dimensions of an input; one without a name gets its own."""
    return {
        axis: size if isinstance(size, str) and size else f"{entry.name}.{axis}"
        for axis, size in enumerate(entry.shape)
        if not isinstance(size, int) or size < 0
    }
