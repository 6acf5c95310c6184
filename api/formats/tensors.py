"""The protocol's tensors: JSON lists or raw bytes ↔ arrays of the datatypes that it names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite, prod
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from treeline.errors import InvalidInputError, Problem

BYTES, BOOL, FP16 = "BYTES", "BOOL", "FP16"
NUMBERS = {
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    FP16: "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DTYPES: dict[str, str] = {BOOL: "?", BYTES: "O", **NUMBERS}
MAX_DIMENSIONS = 32
PART = 16_384  # elements that become Python objects at a time
LENGTH = Struct("<I")  # before each element of BYTES
Array = NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """A named array of one of the datatypes, in the shape it was sent or is answered in.

    BYTES are texts. `missing` marks elements that were null, where any were.
    """

    name: str
    datatype: str
    array: Array
    missing: NDArray[np.bool_] | None = None


def datatype_of(dtype: DTypeLike) -> str:
    """Return the protocol's name of a type of arrays; whatever holds texts or objects is BYTES."""
    own_dtype = np.dtype(dtype)
    if own_dtype.kind == "b":
        return BOOL
    plain = own_dtype.newbyteorder("<").str.replace("|", "<")
    return next((name for name, known in NUMBERS.items() if known == plain), BYTES)


def refused(name: str, message: str, value: object = None) -> InvalidInputError:
    """Return the error for a tensor that is not what it says."""
    return InvalidInputError([Problem(name, message, value)])


def counted(name: str, shape: Sequence[int]) -> int:
    """Return how many elements a shape has; raises InvalidInputError when none."""
    if len(shape) > MAX_DIMENSIONS:
        raise refused(name, f"has {len(shape)} dimensions; at most {MAX_DIMENSIONS} are read")
    if 0 in shape:  # the rest of such a shape may say anything, and cost a graph all memory
        raise refused(name, f"its shape {list(shape)} leaves it without any value")
    return prod(shape)


def from_json(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> Tensor:
    """Read a tensor of JSON, flat or nested in its shape; raises InvalidInputError."""
    if datatype == FP16:
        raise refused(name, "FP16 cannot be told in JSON; send it as binary data, or as FP32")
    count = counted(name, shape)
    values = _flat(name, shape, data)
    if len(values) != count:
        raise refused(name, f"has {len(values)} values, and its shape {list(shape)} wants {count}")
    missing = None
    if None in values:
        missing = np.array([value is None for value in values]).reshape(shape)
    array = _array_of(name, datatype, values).reshape(shape)
    return Tensor(name, datatype, array, missing)


def from_bytes(name: str, datatype: str, shape: Sequence[int], raw: memoryview) -> Tensor:
    """Read a tensor of little-endian bytes, BYTES each after its length; raises InvalidInputError.

    Its size is compared with its shape before anything of that size is made.
    """
    count = counted(name, shape)
    if datatype == BYTES:
        return Tensor(name, datatype, _texts(name, count, raw).reshape(shape))
    dtype = np.dtype("u1" if datatype == BOOL else DTYPES[datatype])
    if len(raw) != count * dtype.itemsize:
        raise refused(
            name,
            f"has {len(raw)} bytes of binary data, and {datatype} of shape {list(shape)} wants "
            f"{count * dtype.itemsize}",
        )
    array = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return Tensor(name, datatype, array != 0 if datatype == BOOL else array)


def to_bytes(tensor: Tensor) -> bytes:
    """Return the elements of a tensor as the protocol's binary data."""
    if tensor.datatype != BYTES:
        return tensor.array.astype(DTYPES[tensor.datatype], order="C", copy=False).tobytes()
    flat = tensor.array.ravel()
    parts = (flat[start : start + PART].tolist() for start in range(0, flat.size, PART))
    return b"".join(b"".join(_with_length(each) for each in part) for part in parts)


def to_json_lists(tensor: Tensor) -> Iterator[list[Any]]:
    """Yield the elements of a tensor, row by row, for JSON; raises InvalidInputError for FP16."""
    if tensor.datatype == FP16:
        raise refused(tensor.name, "FP16 cannot be told in JSON; ask for binary data")
    flat = tensor.array.ravel()
    for start in range(0, flat.size, PART):
        part: list[Any] = flat[start : start + PART].tolist()
        yield [_decoded(each) for each in part] if tensor.datatype == BYTES else part


def _with_length(element: object) -> bytes:
    text = _encoded(element)
    return LENGTH.pack(len(text)) + text


def _encoded(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()


def _decoded(element: object) -> str:
    return element.decode(errors="replace") if isinstance(element, bytes) else str(element)


def _flat(name: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    """Return the elements of `data` row by row; where it is nested, its lists must fit the shape.

    A list that stands where the shape ends is left, and refused as an element of the wrong type.
    """
    if not any(isinstance(each, list) for each in data):
        return data
    level: list[Any] = [data]
    for size in shape:
        for each in level:
            if not isinstance(each, list) or len(each) != size:
                raise refused(name, f"its nested lists do not have its shape {list(shape)}", each)
        level = list(chain.from_iterable(level))
    return level


def _array_of(name: str, datatype: str, values: list[Any]) -> Array:
    """Return the array of JSON values, 0 or NaN where they are null; raises InvalidInputError."""
    admitted = _types(datatype)
    for cls in set(map(type, values)) - admitted:
        wrong = next(value for value in values if type(value) is cls)
        raise refused(name, f"holds a value that is not {datatype}", wrong)
    if datatype == BYTES:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    nothing = float("nan") if datatype.startswith("FP") else 0
    known = [nothing if value is None else value for value in values]
    try:
        with np.errstate(over="ignore"):
            array = np.array(known, dtype=DTYPES[datatype])
    except OverflowError as error:
        raise refused(name, f"holds a value that does not fit {datatype}") from error
    if datatype == "FP32":
        for row in np.flatnonzero(np.isinf(array)).tolist():
            if isfinite(known[row]):
                raise refused(name, "holds a value that does not fit FP32", known[row])
    return array


def _types(datatype: str) -> set[type]:
    nothing = type(None)
    if datatype == BYTES:
        return {str, nothing}
    if datatype == BOOL:
        return {bool, nothing}
    return {int, float, nothing} if datatype.startswith("FP") else {int, nothing}


def _texts(name: str, count: int, raw: memoryview) -> Array:
    """Return `count` texts, each behind its length; raises InvalidInputError."""
    if count * LENGTH.size > len(raw):
        raise refused(name, f"has {len(raw)} bytes of binary data, too few for {count} BYTES")
    texts, start = np.empty(count, dtype=object), 0
    for index in range(count):
        if start + LENGTH.size > len(raw):
            raise refused(name, f"its binary data ends before element {index}")
        (length,) = LENGTH.unpack_from(raw, start)
        start += LENGTH.size + length
        if start > len(raw):
            raise refused(name, f"its binary data ends within element {index}")
        try:
            texts[index] = str(raw[start - length : start], "utf-8")
        except UnicodeDecodeError as error:
            raise refused(name, f"element {index} is not a text in UTF-8") from error
    if start != len(raw):
        raise refused(name, f"has {len(raw) - start} bytes of binary data more than its shape")
    return texts
