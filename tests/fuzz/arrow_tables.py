"""Arrow streams and Parquet files: well-formed, lying about their lengths, and small but huge."""

import struct
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from tests.fuzz import flatbuffers
from tests.fuzz.cases import Format, Mutator, Sample
from tests.fuzz.columns import parquet, small, stream, table
from tests.fuzz.lying_streams import lies
from tests.fuzz.mutating import BLIND, WIDE, flip_bits, overwrite_integer
from tests.fuzz.records import SMALL, TREE, batch, named

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
MAGIC = b"PAR1"
ACCEPTED = tuple({"Accept": kind} for kind in ("application/json", "text/csv", ARROW, PARQUET))
Build = Callable[[], bytes]


def dictionary(rows: int, text: str) -> pa.Array:
    """Return so many texts, all the same one of a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), [text])


def nested(depth: int) -> pa.Table:
    """Return a table of one column of lists in lists."""
    kind: Any = pa.int8()
    for _ in range(depth):
        kind = pa.list_(kind)
    return pa.table({"EMF": pa.array([None], kind)})


def schema_of(count: int, length: int = 1) -> pa.Table:
    """Return a table of so many columns."""
    return pa.table({f"{at:x}" * length: pa.array([0], pa.int8()) for at in range(count)})


def patched(payload: bytes, old: bytes, new: bytes) -> bytes:
    """Return a file whose footer has other bytes, and its right length."""
    size = struct.unpack("<I", payload[-8:-4])[0]
    head, footer = payload[: -8 - size], payload[-8 - size : -8]
    footer = footer.replace(old, new)
    return head + footer + struct.pack("<I", len(footer)) + MAGIC


def varint(number: int) -> bytes:
    """Return a whole number as Thrift writes it, in zigzags."""
    rest, pieces = number << 1, bytearray()
    while rest > 127:
        pieces.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*pieces, rest])


def more_rows(rows: int) -> bytes:
    """Return a file of 12345 rows that says to have others."""
    return patched(parquet(small(12_345)), varint(12_345), varint(rows))


COMMON: dict[str, Callable[[], pa.Table]] = {
    "12,000 columns": lambda: schema_of(12_000),
    "long names": lambda: schema_of(20, 30_000),
    "names that forge lines": lambda: pa.table({"\x85\u2028\x1b\r\n" * 99: [0]}),
    "no column": lambda: pa.table({}),
    "no row": lambda: table(0),
    "nulls": lambda: pa.table({name: pa.nulls(190_000) for name in TREE}),
    "nulls beyond all": lambda: pa.table({name: pa.nulls(100_000_000) for name in SMALL}),
    "lists in lists": lambda: nested(60),
    "types of every kind": lambda: table(
        1,
        EMF=pa.array([b"x"], pa.binary(1)),
        Leaves=pa.array([0], pa.timestamp("ns")),
        Light_ISF=pa.array([[1.0]]),
        Species=pa.array([{"a": 1}]),
    ),
    "a long text": lambda: table(1, Species=["x" * 3_000_000]),
    "bad rows": lambda: table(60_000, EMF=pa.array(np.full(60_000, -1.0))),
    "bad texts": lambda: table(60_000, Species=pa.array(["x" * 40] * 60_000)),
    "rows beyond the limit": lambda: pa.table({n: pa.array(np.zeros(1_000_000)) for n in SMALL}),
    "a text of a dictionary": lambda: table(60_000, Species=dictionary(60_000, "x" * 20_000)),
    "a right text of a dictionary": lambda: table(
        60_000, Species=dictionary(60_000, "Quercus alba")
    ),
    "a long dictionary": lambda: table(
        4,
        Species=pa.DictionaryArray.from_arrays(
            pa.array([0, 1, 2, 3], pa.int32()), [f"{at}" for at in range(300_000)]
        ),
    ),
    "whole numbers beyond float": lambda: table(3, Leaves=pa.array([2**63 - 1, -(2**63), 0])),
    "halves, NaN, infinities": lambda: table(
        3, EMF=pa.array(np.array([np.nan, np.inf, -np.inf], dtype=np.float16))
    ),
}

BOMBS: dict[str, Callable[[], pa.Table]] = {
    "zeros": lambda: pa.table({name: pa.array(np.zeros(4_000_000)) for name in SMALL}),
    "equal texts": lambda: table(
        100_000, Species=pa.repeat(pa.scalar("x" * 2_000, pa.large_string()), 100_000)
    ),
    "a text of zeros": lambda: table(1, Species=pa.array(["\0" * 2**27], pa.large_string())),
}


def packed(make: Callable[[], pa.Table], kind: str) -> Build:
    """Return a maker of a compressed stream."""
    return lambda: stream(make(), kind)


def streamed(make: Callable[[], pa.Table]) -> Build:
    """Return a maker of a stream."""
    return lambda: stream(make())


def filed(make: Callable[[], pa.Table], **options: Any) -> Build:
    """Return a maker of a Parquet file."""
    return lambda: parquet(make(), **options)


def change_metadata(random: Random, body: bytes) -> bytes:
    """Write another number over a count, a length or an offset of a stream."""
    if not (places := flatbuffers.numbers(body)):
        return overwrite_integer(random, body)
    changed, place = bytearray(body), random.choice(places)
    old = struct.unpack_from("<q", body, place)[0]
    value = random.choice((*WIDE, old + 8, old - 8, old * 2, len(body)))
    struct.pack_into("<q", changed, place, max(-(2**63), min(value, 2**63 - 1)))
    return bytes(changed)


def change_values(random: Random, body: bytes) -> bytes:
    """Write over values, offsets and indices of a stream, and leave its metadata alone."""
    bodies = [each for each in flatbuffers.messages(body) if each.end > each.body]
    if not bodies:
        return flip_bits(random, body)
    part = random.choice(bodies)
    inner = random.choice((flip_bits, overwrite_integer))(random, body[part.body : part.end])
    return body[: part.body] + inner + body[part.end :]


def shuffle_messages(random: Random, body: bytes) -> bytes:
    """Send messages in another order, again, or not at all."""
    parts = [body[each.start : each.end] for each in flatbuffers.messages(body)]
    if not parts:
        return body
    chosen = [random.choice(parts) for _ in range(random.choice((len(parts), 3, 500)))]
    return b"".join([parts[0], *chosen] if random.random() < 0.7 else chosen)


def change_footer(random: Random, body: bytes) -> bytes:
    """Change the footer of a Parquet file, and keep its length right."""
    if len(body) < 12 or body[-4:] != MAGIC:
        return random.choice(BLIND)(random, body)
    size = struct.unpack("<I", body[-8:-4])[0]
    head, footer = body[: -8 - size], body[-8 - size : -8]
    footer = random.choice(BLIND)(random, footer)
    return head + footer + struct.pack("<I", len(footer)) + MAGIC


def change_number(random: Random, body: bytes) -> bytes:
    """Write another number, as Thrift has them, over a byte of the footer."""
    if len(body) < 12 or body[-4:] != MAGIC:
        return body
    size = min(struct.unpack("<I", body[-8:-4])[0], len(body) - 8)
    footer = body[-8 - size : -8]
    at = random.randrange(len(footer) or 1)
    number = varint(random.choice([each for each in WIDE if each >= 0]))
    footer = footer[:at] + number + footer[at + random.choice((1, len(number))) :]
    return body[: -8 - size] + footer + struct.pack("<I", len(footer)) + MAGIC


def change_pages(random: Random, body: bytes) -> bytes:
    """Change the pages of a Parquet file, and leave its footer alone."""
    size = struct.unpack("<I", body[-8:-4])[0] if len(body) >= 12 else 0
    end = max(0, len(body) - 8 - size)
    pages = random.choice((flip_bits, overwrite_integer))(random, body[:end])
    return pages + body[end:]


STREAMS: tuple[Mutator, ...] = (
    change_metadata,
    change_metadata,
    change_metadata,
    change_values,
    shuffle_messages,
)
FILES: tuple[Mutator, ...] = (change_footer, change_number, change_number, change_pages)


def of_arrow() -> Format:
    """Return the format of Arrow streams."""
    plain, report = batch(ARROW), batch(ARROW, query="?bad_rows=report")
    own: dict[str, Build] = {
        "nothing": lambda: b"",
        "a file, not a stream": lambda: b"ARROW1\x00\x00" + stream(table(3)),
        "many small batches": lambda: stream(small(30_000), chunk=1),
        "one schema again and again": lambda: stream(small(0)) * 5_000,
        "metadata without end": lambda: b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 4_000,
        "metadata of zeros": lambda: b"\xff\xff\xff\xff\x00\x10\x00\x00" + b"\0" * 8_192,
        **{name: streamed(make) for name, make in COMMON.items()},
        **{
            f"{name} by {kind}": packed(make, kind)
            for name, make in BOMBS.items()
            for kind in ("zstd", "lz4")
        },
    }
    typed = batch(ARROW, model="typed")
    return Format(
        "arrow",
        [
            Sample("rows", plain, streamed(lambda: table(4))),
            Sample(
                "rows of a dictionary",
                report,
                streamed(lambda: table(4, Species=dictionary(4, "Quercus alba"))),
            ),
            Sample("two batches", typed, lambda: stream(small(6), chunk=3)),
            Sample("packed", report, lambda: stream(table(300), "zstd")),
            Sample("packed by lz4", typed, lambda: stream(small(300), "lz4")),
            Sample(
                "large texts",
                report,
                streamed(
                    lambda: table(4, Species=pa.array(["Quercus alba"] * 4, pa.large_string()))
                ),
            ),
        ],
        [*lies(plain), *lies(report), *named(plain, own), *named(report, own)],
        (*STREAMS, *STREAMS, *BLIND),
        ACCEPTED,
    )


def of_parquet() -> Format:
    """Return the format of Parquet files."""
    plain, report = batch(PARQUET), batch(PARQUET, query="?bad_rows=report")
    tree = {**{name: [value] for name, value in TREE.items()}}
    own: dict[str, Build] = {
        "nothing": lambda: b"",
        "marks alone": lambda: MAGIC * 3,
        "a footer without end": lambda: MAGIC + b"\xff\xff\xff\x7f" + MAGIC,
        "a footer of garbage": lambda: MAGIC + b"\x15" * 60_000 + struct.pack("<I", 60_000) + MAGIC,
        "lists in a footer": lambda: MAGIC + b"\x29" * 60_000 + struct.pack("<I", 60_000) + MAGIC,
        "structures in a footer": lambda: (
            MAGIC + b"\x1c" * 60_000 + struct.pack("<I", 60_000) + MAGIC
        ),
        "more rows than there are": lambda: more_rows(100_000_000),
        "rows without end": lambda: more_rows(2**62),
        "many groups": filed(lambda: small(20_000), row_group_size=4),
        "texts without a dictionary": filed(
            lambda: table(60_000, Species=pa.array(["x" * 500] * 60_000)),
            use_dictionary=False,
            compression="zstd",
            data_page_version="2.0",
        ),
        "metadata of a megabyte": lambda: parquet(
            pa.table(tree).replace_schema_metadata({"k": "x" * 1_000_000})
        ),
        **{name: filed(make) for name, make in COMMON.items() if name not in ("no column",)},
        **{
            f"{name} by {kind}": filed(make, compression=kind, use_dictionary=kind == "snappy")
            for name, make in BOMBS.items()
            for kind in ("zstd", "gzip", "brotli", "snappy")
        },
    }
    typed = batch(PARQUET, model="typed")
    return Format(
        "parquet",
        [
            Sample("rows", plain, filed(lambda: table(4))),
            Sample("reported rows", report, filed(lambda: table(50), compression="zstd")),
            Sample(
                "rows without a dictionary",
                typed,
                filed(lambda: small(9), use_dictionary=False, compression="none"),
            ),
            Sample(
                "second pages",
                typed,
                filed(lambda: small(9), data_page_version="2.0", compression="gzip"),
            ),
            Sample(
                "split",
                typed,
                filed(lambda: small(9), use_dictionary=False, column_encoding="BYTE_STREAM_SPLIT"),
            ),
            Sample(
                "delta",
                report,
                filed(
                    lambda: table(9),
                    use_dictionary=False,
                    column_encoding={
                        "Leaves": "DELTA_BINARY_PACKED",
                        "Species": "DELTA_BYTE_ARRAY",
                    },
                ),
            ),
        ],
        [*named(plain, own), *named(report, own)],
        (*FILES, *FILES, *BLIND),
        ACCEPTED,
    )
