"""Arrow streams whose counts, lengths, offsets and indices say what is not so."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from tests.fuzz import flatbuffers
from tests.fuzz.cases import Request, Sample
from tests.fuzz.columns import small, stream, table

Build = Callable[[], bytes]
LARGE = pa.large_string()
# Where the numbers of a record batch of two columns of numbers stand, in their order.
BODY, ROWS, LENGTH, NULLS, VALIDITY, VALUES, SIZE = 0, 1, 2, 3, 6, 8, 9


def lying(rows: pa.Table, *changes: tuple[int, int]) -> Build:
    """Return a maker of a stream in which some numbers of its last batch are other ones."""

    def build() -> bytes:
        payload = bytearray(stream(rows))
        last = list(flatbuffers.messages(bytes(payload)))[-1]
        places = list(flatbuffers.of_batch(bytes(payload), last))
        for place, number in changes:
            struct.pack_into("<q", payload, places[place], number)
        return bytes(payload)

    return build


def short(kind: Any, size: int = 8, rows: int = 16_000) -> Build:
    """Return a maker of a stream of many rows, one of whose buffers says to be short."""
    zeros = pa.array(np.zeros(rows), kind)
    return lying(pa.table({"age": zeros, "bmi": zeros}), (SIZE, size))


def texts(kind: Any, offset: int, rows: int = 8) -> Build:
    """Return a maker of a stream of texts, whose second offset is another one."""

    def build() -> bytes:
        payload = bytearray(stream(table(rows, Species=pa.array(["Quercus alba"] * rows, kind))))
        code = "<q" if kind == LARGE else "<i"
        body = list(flatbuffers.messages(bytes(payload)))[-1].body
        struct.pack_into(code, payload, payload.index(struct.pack(code, 12), body), offset)
        return bytes(payload)

    return build


def indices(*places: int) -> Build:
    """Return a maker of a stream of a dictionary of one text, with indices outside of it."""

    def build() -> bytes:
        outside = pa.array(np.array([0, *places], dtype=np.int32))
        column = pa.DictionaryArray.from_arrays(outside, ["Quercus alba"], safe=False)
        return stream(table(1 + len(places), Species=column))

    return build


NUMBERS: dict[str, Build] = {
    "a short buffer of whole numbers": short(pa.int64()),
    "a short buffer of numbers": short(pa.float64()),
    "a short buffer of bytes": short(pa.int8()),
    "an empty buffer": short(pa.int64(), 0),
    "a buffer below zero": short(pa.int64(), -8),
    "more rows than there are": lying(
        small(4), (ROWS, 16_000), (LENGTH, 16_000), (LENGTH + 2, 16_000)
    ),
    "rows without end": lying(small(4), (ROWS, 2**40), (LENGTH, 2**40), (LENGTH + 2, 2**40)),
    "rows below zero": lying(small(4), (ROWS, -1)),
    "a column longer than the rows": lying(small(4), (LENGTH, 16_000)),
    "a buffer far away": lying(small(4), (VALUES, 2**40)),
    "a buffer before all": lying(small(4), (VALUES, -64)),
    "a validity that is not there": lying(
        small(4), (NULLS, 2), (VALIDITY, 2**40), (VALIDITY + 1, 8)
    ),
    "a body without end": lying(small(4), (BODY, 2**40)),
    "a body below zero": lying(small(4), (BODY, -8)),
    "more nulls than rows": lying(small(4), (NULLS, 2**40)),
}
TEXTS: dict[str, Build] = {
    "an offset far away": texts(LARGE, 2**40),
    "an offset a little away": texts(LARGE, 100_000),
    "an offset before all": texts(LARGE, -4_096),
    "a short offset far away": texts(pa.string(), 2**31 - 1),
    "a short offset a little away": texts(pa.string(), 100_000),
    "a short offset before all": texts(pa.string(), -4_096),
    "an index outside": indices(7),
    "an index before all": indices(-1),
    "indices far outside": indices(2**31 - 1, -(2**31)),
}


def lies(request: Request) -> list[Sample]:
    """Return streams that are to be refused."""
    of_numbers = replace(request, path=request.path.replace("tree-survival", "diabetes"))
    return [
        *(Sample(name, of_numbers, build, refused=True) for name, build in NUMBERS.items()),
        *(Sample(name, request, build, refused=True) for name, build in TEXTS.items()),
    ]
