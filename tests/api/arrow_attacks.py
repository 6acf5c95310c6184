"""Arrow streams that a stranger has patched: valid ones, in which one number is another."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

ROWS = 16_000
TEXTS = ("Acer saccharum", "Quercus alba")


@dataclass(frozen=True)
class Attack:
    """A body, and what the refusal of it says."""

    name: str
    make: Callable[[], bytes]
    says: str
    status: int = 400


def stream(columns: dict[str, pa.Array], **options: object) -> bytes:
    """Return a table as a stream of one record batch."""
    table, sink = pa.table(columns), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(table)
    return bytes(sink.getvalue())


def numbers(**options: object) -> bytes:
    """Return a stream of whole numbers; its buffer has eight bytes for each."""
    return stream({"Leaves": pa.array(np.arange(ROWS))}, **options)


def decimals(**options: object) -> bytes:
    """Return a stream of decimal numbers."""
    return stream({"a": pa.array([Decimal("1.50"), None, Decimal("2.25")])}, **options)


def texts(kind: pa.DataType) -> bytes:
    """Return a stream of two texts."""
    return stream({"Species": pa.array(TEXTS, kind)})


def by_dictionary() -> bytes:
    """Return a stream of texts by dictionary, whose indices are 1, 0, 1, 1."""
    return stream(
        {"Species": pa.array([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[0]]).dictionary_encode()}
    )


def patched(body: bytes, *changes: tuple[bytes, bytes], last: bool = False) -> bytes:
    """Return a body in which the first, or the last, of each pattern is another of its length."""
    for old, new in changes:
        assert len(old) == len(new)
        place = body.rindex(old) if last else body.index(old)
        body = body[:place] + new + body[place + len(old) :]
    return body


def words(*values: int) -> bytes:
    """Return 64-bit numbers."""
    return struct.pack(f"<{len(values)}q", *values)


def words32(*values: int) -> bytes:
    """Return 32-bit numbers."""
    return struct.pack(f"<{len(values)}i", *values)


NODE, LONG = words(ROWS, 0), words(0, 8 * ROWS)
WIDE = words(0, len(TEXTS[0]), sum(map(len, TEXTS)))
NARROW = words32(0, len(TEXTS[0]), sum(map(len, TEXTS)))


def rows_of_nothing() -> bytes:
    """Return a stream of a column without values, which declares very many rows."""
    body = stream({"Phenolics": pa.nulls(77_777)})
    return body.replace(words(77_777), words(1 << 40))


def packed(declared: int) -> bytes:
    """Return a compressed stream, whose buffer says that it is of another length."""
    return patched(numbers(compression="zstd"), (words(8 * ROWS), words(declared)), last=True)


ATTACKS = (
    Attack(
        "a buffer of eight bytes for sixteen thousand numbers",
        lambda: patched(numbers(), (LONG, words(0, 8))),
        "has 8 bytes, and 128000 are needed",
    ),
    Attack(
        "a buffer that reaches out of its message",
        lambda: patched(numbers(), (LONG, words(0, 1 << 40))),
        "reaches out of its message",
    ),
    Attack(
        "a buffer before its message",
        lambda: patched(numbers(), (LONG, words(-64, 8 * ROWS))),
        "reaches out of its message",
    ),
    Attack(
        "nulls without a bitmap",
        lambda: patched(numbers(), (NODE, words(ROWS, 5))),
        "has 0 bytes, and 2000 are needed",
    ),
    Attack(
        "more nulls than rows",
        lambda: patched(numbers(), (NODE, words(ROWS, ROWS + 1))),
        "16001 of them null",
    ),
    Attack(
        "a column of fewer rows than its batch",
        lambda: patched(numbers(), (NODE, words(ROWS - 1, 0))),
        "a column of 16000 rows declares 15999",
    ),
    Attack(
        "more rows than a batch may have, of no bytes",
        rows_of_nothing,
        "more than 10000000 rows",
        status=413,
    ),
    Attack(
        "64-bit offsets anywhere in memory",
        lambda: patched(texts(pa.large_string()), (WIDE, words(0, 1 << 40, 1 << 41))),
        "offset",
    ),
    Attack(
        "64-bit offsets before the text",
        lambda: patched(texts(pa.large_string()), (WIDE, words(-(1 << 40), 0, 5))),
        "offset",
    ),
    Attack(
        "offsets that go back",
        lambda: patched(texts(pa.string()), (NARROW, words32(0, 20, 10))),
        "offset",
    ),
    Attack(
        "offsets beyond the text",
        lambda: patched(texts(pa.string()), (NARROW, words32(0, 14, 1 << 30))),
        "offset",
    ),
    Attack(
        "text that is not UTF-8",
        lambda: patched(texts(pa.string()), (TEXTS[0].encode(), b"\xff" * len(TEXTS[0]))),
        "UTF8",
    ),
    Attack(
        "an index that no value of the dictionary has",
        lambda: patched(by_dictionary(), (words32(0, 1, 0, 0), words32(0, 1 << 20, 0, 0))),
        "out of bounds",
    ),
    Attack(
        "an index before the dictionary",
        lambda: patched(by_dictionary(), (words32(0, 1, 0, 0), words32(0, -9, 0, 0))),
        "out of bounds",
    ),
    Attack(
        "a compressed buffer that says it has terabytes",
        lambda: packed(1 << 42),
        "takes 43980465",
        status=413,
    ),
    Attack(
        "a compressed buffer that says it is short", lambda: packed(8), "has 8 bytes, and 128000"
    ),
    Attack("a compressed buffer of negative length", lambda: packed(-7), "declares -7 bytes"),
    Attack(
        "metadata of more bytes than there are",
        lambda: patched(numbers(), (numbers()[4:8], struct.pack("<I", 900_000))),
        "declares 900000 bytes of metadata",
    ),
    Attack(
        "a stream without a schema",
        lambda: numbers()[8 + int.from_bytes(numbers()[4:8], "little") :],
        "does not begin with a schema",
    ),
)
