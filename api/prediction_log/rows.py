"""Rows of a batch, as the arrays they were predicted in → one frame of bytes → rows of the log.

A million rows are kept as they are in memory, some forty bytes a row, and only the process that
ships them to the database makes records of them. A frame holds all that takes: whoever reads it
needs neither the model nor its signature.

Layout: MAGIC, the lengths of header and arrays, the CRC-32 of both; a header in JSON; the arrays.
"""

import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from treeline.artifact.encoding import Matrix
from treeline.artifact.signature import Signature

MAGIC = b"TLR1"
LAYOUT = struct.Struct("<4sIQI")
ARRAYS = ("numbers", "matrix", "labels", "scores", "values")

Row = dict[str, Any]
Column = Sequence[Any]


@dataclass(frozen=True)
class RowsFrame:
    """What is recorded of n_rows rows that one model predicted together.

    `latency_seconds` is what each row took, `numbers` of shape (n_rows,) tells them apart: the id
    of a row is `f"{id_prefix}-{number}"`. `matrix` of shape (n_rows, n_features) holds the codes
    the model saw; `labels`, `scores` and `values` are those of a `Prediction`.
    """

    time: float
    latency_seconds: float
    id_prefix: str
    numbers: NDArray[np.int64]
    matrix: Matrix
    labels: NDArray[Any] | None = None
    scores: NDArray[Any] | None = None
    values: NDArray[Any] | None = None

    def to_bytes(self, signature: Signature, *, redact: Collection[str] = ()) -> bytes:
        """Return the frame; the features in `redact` are not in it."""
        kept = [name for name in signature.features if name not in redact]
        places = [place for place, name in enumerate(signature.features) if name in kept]
        arrays = {
            "numbers": self.numbers.astype("<i8"),
            "matrix": self.matrix[:, places].astype("<f4"),
            "labels": None if self.labels is None else self.labels.astype("<i8"),
            "scores": None if self.scores is None else self.scores.astype("<f4"),
            "values": None if self.values is None else self.values.astype("<f4"),
        }
        present = {name: array for name, array in arrays.items() if array is not None}
        header = to_json(
            {
                "time": self.time,
                "latency_seconds": self.latency_seconds,
                "id_prefix": self.id_prefix,
                "model": signature.name,
                "version": signature.version,
                "task": signature.target.task,
                "classes": signature.classes,
                "features": {
                    name: {"type": feature.type, "categories": feature.categories}
                    for name, feature in signature.features.items()
                },
                "kept": kept,
                "arrays": {name: (each.dtype.str, each.shape) for name, each in present.items()},
            }
        )
        body = b"".join(each.tobytes() for each in present.values())
        checksum = zlib.crc32(body, zlib.crc32(header))
        return LAYOUT.pack(MAGIC, len(header), len(body), checksum) + header + body


def read_frames(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the header and arrays of each frame; end at one that is torn, as after a power cut."""
    while len(lead := stream.read(LAYOUT.size)) == LAYOUT.size:
        magic, header_length, body_length, checksum = LAYOUT.unpack(lead)
        if magic != MAGIC:
            return
        payload = stream.read(header_length + body_length)
        if len(payload) < header_length + body_length or zlib.crc32(payload) != checksum:
            return
        yield lead + payload


def rows_of(frame: bytes, *, part_rows: int = 5_000) -> Iterator[list[Row]]:
    """Yield what a frame holds as rows of the log, at most `part_rows` at a time.

    A category is its text again, a missing value null, a number the shortest one that is the same
    in float32. What was missing and has a fill is the fill: so the model saw it.
    """
    _, header_length, _, _ = LAYOUT.unpack_from(frame)
    start = LAYOUT.size + header_length
    header = from_json(frame[LAYOUT.size : start])
    arrays: dict[str, NDArray[Any] | None] = dict.fromkeys(ARRAYS)
    for name, (dtype, shape) in header["arrays"].items():
        count = int(np.prod(shape))
        found = np.frombuffer(frame, np.dtype(dtype), count, offset=start)
        arrays[name] = found.reshape(shape)
        start += found.nbytes
    numbers = arrays["numbers"]
    for first in range(0, 0 if numbers is None else len(numbers), part_rows):
        part = slice(first, first + part_rows)
        chosen = {name: None if each is None else each[part] for name, each in arrays.items()}
        yield _rows(header, chosen)


def row_count(frame: bytes) -> int:
    """Return how many rows a frame holds."""
    _, header_length, _, _ = LAYOUT.unpack_from(frame)
    header = from_json(frame[LAYOUT.size : LAYOUT.size + header_length])
    count: int = header["arrays"]["numbers"][1][0]
    return count


def _rows(header: Row, arrays: dict[str, Any]) -> list[Row]:
    names = list(header["features"])
    columns = _features(header, arrays["matrix"])
    predictions = _predictions(header, arrays)
    own = {"time": header["time"], "model": header["model"], "version": header["version"]}
    own["latency_seconds"] = header["latency_seconds"]
    return [
        {
            "id": f"{header['id_prefix']}-{number}",
            **own,
            "features": dict(zip(names, values, strict=True)),
            "prediction": prediction,
            "probability": probability,
            "probabilities": probabilities,
        }
        for number, values, (prediction, probability, probabilities) in zip(
            arrays["numbers"].tolist(), zip(*columns, strict=True), predictions, strict=True
        )
    ]


def _features(header: Row, matrix: Matrix) -> list[Column]:
    places = {name: place for place, name in enumerate(header["kept"])}
    return [
        _decoded(feature, matrix[:, places[name]]) if name in places else [None] * len(matrix)
        for name, feature in header["features"].items()
    ]


def _decoded(feature: Row, codes: NDArray[np.float32]) -> Column:
    if feature["type"] in ("number", "integer"):
        kind = int if feature["type"] == "integer" else float
        return [None if isnan(number) else kind(number) for number in shortest(codes)]
    values = feature["categories"] or (False, True)
    return [None if isnan(code) else values[int(code)] for code in codes.tolist()]


def _predictions(header: Row, arrays: dict[str, Any]) -> list[tuple[Any, Any, Any]]:
    """Return prediction, probability and probabilities of each row, as a single answer has them."""
    labels, scores, values = arrays["labels"], arrays["scores"], arrays["values"]
    if header["task"] == "regression":
        return [(value, None, None) for value in shortest(values)]
    classes, codes = header["classes"], labels.tolist()
    if scores is None:
        return [(classes[code], None, None) for code in codes]
    shares = [shortest(column) for column in scores.T]
    if header["task"] == "binary":
        return [(classes[code], p, None) for code, p in zip(codes, shares[-1], strict=True)]
    return [
        (classes[code], row[code], dict(zip(classes, row, strict=True)))
        for code, row in zip(codes, zip(*shares, strict=True), strict=True)
    ]


def shortest(numbers: NDArray[np.float32]) -> list[float]:
    """Return float32 numbers as the shortest decimals that are the same in float32."""
    found: list[float] = numbers.astype("U").astype(np.float64).tolist()
    return found
