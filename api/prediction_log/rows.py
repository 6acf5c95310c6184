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
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from treeline.contract.encoding import Matrix
from treeline.contract.kinds import KINDS
from treeline.contract.signature import Signature

MAGIC = b"TLR1"
LAYOUT = struct.Struct("<4sIQI")
SEARCH_BYTES = 1 << 20
ARRAYS = ("numbers", "matrix", "labels", "scores", "values", "key_lengths")
KEY_TEXT = "key_text"  # of all rows, one behind the other

Row = dict[str, Any]
Column = Sequence[Any]


@dataclass(frozen=True)
class RowsFrame:
    """What is recorded of n_rows rows that one model predicted together.

    `latency_seconds` is what each row took, `numbers` of shape (n_rows,) tells them apart: the id
    of a row is `f"{id_prefix}-{number}"`. `matrix` of shape (n_rows, n_features) holds the codes
    the model saw; `labels`, `scores` and `values` are those of a `Prediction`. `keys` are the
    callers' own, where the model takes one.
    """

    time: float
    latency_seconds: float
    id_prefix: str
    numbers: NDArray[np.int64]
    matrix: Matrix
    labels: NDArray[Any] | None = None
    scores: NDArray[Any] | None = None
    values: NDArray[Any] | None = None
    keys: Sequence[str | None] | None = None

    def to_bytes(self, signature: Signature, *, redact: Collection[str] = ()) -> bytes:
        """Return the frame; the features in `redact` are not in it."""
        shown = [name for name in signature.features if name not in redact]
        places = [place for place, name in enumerate(signature.features) if name in shown]
        columns = self.matrix[:, places] if len(shown) < len(signature.features) else self.matrix
        arrays = {
            "numbers": self.numbers.astype("<i8", copy=False),
            "matrix": columns.astype("<f4", copy=False),
            "labels": None if self.labels is None else self.labels.astype("<i8", copy=False),
            "scores": None if self.scores is None else self.scores.astype("<f4", copy=False),
            "values": None if self.values is None else self.values.astype("<f4", copy=False),
        }
        if self.keys is not None and signature.key not in redact:
            arrays |= _packed(self.keys)
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
                "kept": shown,
                "arrays": {name: (each.dtype.str, each.shape) for name, each in present.items()},
            }
        )
        body = [each.tobytes() for each in present.values()]
        checksum = zlib.crc32(header)
        for each in body:
            checksum = zlib.crc32(each, checksum)
        lead = LAYOUT.pack(MAGIC, len(header), sum(map(len, body)), checksum)
        return b"".join((lead, header, *body))


@dataclass
class Damage:
    """What of a segment could not be read: why first, and how many rows that is at least."""

    reason: str = ""
    rows: int = 0

    def add(self, reason: str, *, rows: int = 0) -> None:
        """Note one damaged place."""
        self.reason = self.reason or reason
        self.rows += rows


def read_frames(stream: BinaryIO, damage: Damage | None = None) -> Iterator[bytes]:
    """Yield the bytes of each whole frame; what is between them, or torn, goes into `damage`.

    After a place that is damaged, reading goes on at the next frame that is whole.
    """
    damage = Damage() if damage is None else damage
    start, size = 0, stream.seek(0, 2)
    while start < size:
        frame = _frame_at(stream, start, size)
        if frame is not None:
            yield frame
            start += len(frame)
            continue
        stream.seek(start)
        damage.add(f"no whole frame at byte {start} of {size}", rows=_rows_said(stream, start))
        start = _next_frame(stream, start + 1, size)


def _frame_at(stream: BinaryIO, start: int, size: int) -> bytes | None:
    """Return the frame that begins at a place, or None where none that is whole does."""
    stream.seek(start)
    lead = stream.read(LAYOUT.size)
    if len(lead) < LAYOUT.size:
        return None
    magic, header_length, body_length, checksum = LAYOUT.unpack(lead)
    if magic != MAGIC or start + LAYOUT.size + header_length + body_length > size:
        return None
    payload = stream.read(header_length + body_length)
    return lead + payload if zlib.crc32(payload) == checksum else None


def _next_frame(stream: BinaryIO, start: int, size: int) -> int:
    """Return where the next whole frame begins, or the end."""
    while start < size:
        stream.seek(start)
        piece = stream.read(SEARCH_BYTES + len(MAGIC) - 1)
        at = piece.find(MAGIC)
        if at < 0:
            start += SEARCH_BYTES
        elif _frame_at(stream, start + at, size) is not None:
            return start + at
        else:
            start += at + 1
    return size


def _rows_said(stream: BinaryIO, start: int) -> int:
    """Return how many rows a damaged frame says it has, as far as its header can be read."""
    try:
        stream.seek(start)
        lead = stream.read(LAYOUT.size)
        header_length = min(LAYOUT.unpack(lead)[1], SEARCH_BYTES)
        return row_count(lead + stream.read(header_length))
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error):
        return 0


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
        array = np.frombuffer(frame, np.dtype(dtype), count, offset=start)
        arrays[name] = array.reshape(shape)
        start += array.nbytes
    keys = _unpacked(arrays.pop("key_lengths"), arrays.pop(KEY_TEXT, None))
    numbers = arrays["numbers"]
    for first in range(0, 0 if numbers is None else len(numbers), part_rows):
        part = slice(first, first + part_rows)
        chosen = {name: None if each is None else each[part] for name, each in arrays.items()}
        rows = _rows(header, chosen)
        yield (
            rows
            if keys is None
            else [row | {"key": key} for row, key in zip(rows, keys[part], strict=True)]
        )


def _packed(keys: Sequence[str | None]) -> dict[str, NDArray[Any] | None]:
    """Return keys as arrays: how long each is, 0 for none, and all of their characters."""
    lengths = np.array([len(key or "") for key in keys], dtype="u1")
    text = "".join(key or "" for key in keys).encode("ascii")
    return {"key_lengths": lengths, KEY_TEXT: np.frombuffer(text, dtype="u1")}


def _unpacked(lengths: NDArray[Any] | None, text: NDArray[Any] | None) -> list[str | None] | None:
    """Return keys again, None where there are no arrays of them."""
    if lengths is None or text is None:
        return None
    joined, ends = text.tobytes().decode("ascii"), np.cumsum(lengths, dtype=np.int64).tolist()
    starts = [0, *ends[:-1]]
    return [joined[start:end] or None for start, end in zip(starts, ends, strict=True)]


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
            "key": None,
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
    kind = KINDS[feature["type"]]
    numbers = shortest(codes) if kind.holds == "number" else codes.tolist()
    return kind.decoded(feature["categories"], numbers)


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
    floats: list[float] = numbers.astype("U").astype(np.float64).tolist()
    return floats
