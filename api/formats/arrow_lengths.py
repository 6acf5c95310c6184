"""An Arrow stream: whether every length that it declares can be true, before it is read.

The library takes memory for what the metadata declare, and looks at buffers afterwards. So all
messages are walked first: no buffer may be shorter than its rows need or reach out of its message,
and nothing may be larger, unpacked, than a request may take. No position outside of the bytes of a
flatbuffer is ever read.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from api.errors import BodyTooLargeError, MalformedBodyError

UINT8, UINT16, INT16, INT32, UINT32, INT64 = map(
    struct.Struct, ("<B", "<H", "<h", "<i", "<I", "<q")
)


@dataclass(frozen=True)
class Table:
    """One table: where its fields are is said by its `vtable`, at a distance from `place`."""

    payload: bytes
    place: int

    @classmethod
    def root(cls, payload: bytes) -> "Table":
        """Return the table that a flatbuffer is."""
        return cls(payload, number(payload, 0, UINT32))

    def number(self, field: int, kind: struct.Struct, *, default: int = 0) -> int:
        """Return the number in a field, or what stands for one that is left out."""
        place = self._field(field)
        return number(self.payload, place, kind) if place else default

    def table(self, field: int) -> "Table | None":
        """Return the table that a field points to, None where it is left out."""
        place = self._field(field)
        return Table(self.payload, self._followed(place)) if place else None

    def tables(self, field: int) -> list["Table"]:
        """Return the tables of a vector."""
        places = self._places(field, INT32.size)
        return [Table(self.payload, self._followed(place)) for place in places]

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a vector of structures that are two 64-bit numbers each."""
        return [
            (number(self.payload, place, INT64), number(self.payload, place + INT64.size, INT64))
            for place in self._places(field, 2 * INT64.size)
        ]

    def _places(self, field: int, size: int) -> range:
        place = self._field(field)
        if not place:
            return range(0)
        start = self._followed(place)
        count = number(self.payload, start, UINT32)
        first = start + UINT32.size
        if first + count * size > len(self.payload):
            raise beyond()
        return range(first, first + count * size, size)

    def _followed(self, place: int) -> int:
        return place + number(self.payload, place, UINT32)

    def _field(self, field: int) -> int:
        """Return where a field is, 0 where it is left out."""
        vtable = self.place - number(self.payload, self.place, INT32)
        entry = 2 * UINT16.size + field * UINT16.size
        if entry + UINT16.size > number(self.payload, vtable, UINT16):
            return 0
        offset = number(self.payload, vtable + entry, UINT16)
        return self.place + offset if offset else 0


def number(payload: bytes, place: int, kind: struct.Struct) -> int:
    """Return the number at a place; raises MalformedBodyError where that is outside."""
    if not 0 <= place <= len(payload) - kind.size:
        raise beyond()
    number: int = kind.unpack_from(payload, place)[0]
    return number


def beyond() -> MalformedBodyError:
    """Return the error to raise where a position points outside."""
    return MalformedBodyError("The body is not an Arrow stream: its metadata point outside.")


CONTINUATION = 0xFFFFFFFF
METADATA_BYTES = 1 << 20  # of one message: that of a batch takes some sixty bytes for a column
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
NULL, INTEGER, FLOATING, TEXT, BOOLEAN, DECIMAL, LARGE_TEXT = 1, 2, 3, 5, 6, 7, 20
FLOATING_BITS = (16, 32, 64)
DECIMAL_BITS, USUAL_DECIMAL_BITS = (32, 64, 128, 256), 128
OFFSET_BYTES = {TEXT: 4, LARGE_TEXT: 8}
PACKED_AS_IT_IS = -1
MOST_DELTAS = 1000  # of one dictionary: for each, the whole of it is copied


class Source(Protocol):
    """Where a body is: in a file or in memory."""

    size: int

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end."""


@dataclass(frozen=True)
class Layout:
    """Buffers of one column: bits of a value, or bytes of an offset into text; neither for null."""

    bits: int = 0
    offset_bytes: int = 0
    dictionary: int | None = None

    @property
    def buffers(self) -> int:
        """How many buffers there are."""
        if self.offset_bytes:
            return 3
        return 2 if self.bits else 0

    def least(self, rows: int, nulls: int) -> tuple[int, ...]:
        """Return how many bytes each buffer has at least."""
        validity = (rows + 7) // 8 if nulls else 0
        if self.offset_bytes:
            return (validity, (rows + 1) * self.offset_bytes if rows else 0, 0)
        return (validity, (rows * self.bits + 7) // 8) if self.bits else ()


@dataclass(frozen=True)
class Message:
    """One message: its kind, its metadata, and where in the body of the request its own body is."""

    kind: int
    header: Table
    start: int
    length: int


@dataclass
class Dictionary:
    """One dictionary: the layout of its values, and what it takes by now."""

    layout: Layout
    size: int = 0
    deltas: int = 0


@dataclass
class Lengths:
    """Checks the messages of one stream, and counts what they declare."""

    source: Source
    most_rows: int
    most_bytes: int
    rows: int = 0
    columns: list[Layout] = field(default_factory=list)
    dictionaries: dict[int, Dictionary] = field(default_factory=dict)

    def check(self) -> None:
        """Walk the stream; raises MalformedBodyError and BodyTooLargeError."""
        messages = walked(self.source)
        self._schema(schema_of(messages))
        for message in messages:
            if message.kind == BATCH:
                self._batch(message)
            elif message.kind == DICTIONARY:
                self._dictionary(message)
            else:
                raise malformed(f"it has a message of kind {message.kind} among its batches")

    def _schema(self, schema: Table) -> None:
        if schema.number(0, INT16):
            raise malformed("its numbers are big-endian; write little-endian ones")
        for column in schema.tables(1):
            layout = layout_of(column)
            encoding = column.table(4)
            if encoding is not None:
                index = encoding.table(1)
                bits = 32 if index is None else index.number(0, INT32)
                identity = encoding.number(0, INT64)
                self.dictionaries[identity] = Dictionary(layout)
                layout = Layout(bits=whole_bits(bits), dictionary=identity)
            self.columns.append(layout)

    def _batch(self, message: Message) -> None:
        self.rows += message.header.number(0, INT64)
        if self.rows > self.most_rows:
            raise too_many_rows(self.most_rows)
        taken = unpacked_bytes(self.source, message, message.header, self.columns)
        self._held(taken + sum(each.size for each in self.dictionaries.values()))

    def _dictionary(self, message: Message) -> None:
        header = message.header
        known, data = self.dictionaries.get(header.number(0, INT64)), header.table(1)
        if known is None or data is None:
            raise malformed("it has a dictionary that no column has")
        taken = unpacked_bytes(self.source, message, data, [known.layout])
        if header.number(2, UINT8):
            known.size += taken
            known.deltas += 1
        else:
            known.size, known.deltas = taken, 0
        if known.deltas > MOST_DELTAS:
            raise BodyTooLargeError(
                f"A dictionary grows more than {MOST_DELTAS} times; write whole dictionaries."
            )
        self._held(sum(each.size for each in self.dictionaries.values()))

    def _held(self, size: int) -> None:
        if size > self.most_bytes:
            raise BodyTooLargeError(
                f"A record batch takes {size} bytes unpacked, with its dictionaries, and may take "
                f"{self.most_bytes}; write smaller record batches, or raise "
                "API_REQUEST_MEMORY_BYTES."
            )


def schema_of(messages: Iterator[Message]) -> Table:
    """Return the schema that a stream begins with; raises MalformedBodyError where it has none."""
    first = next(messages, None)
    if first is None or first.kind != SCHEMA:
        raise malformed("it does not begin with a schema")
    return first.header


def walked(source: Source) -> Iterator[Message]:
    """Yield the messages of a stream; raises MalformedBodyError."""
    place = 0
    while place < source.size:
        length = number(source.at(place, UINT32.size), 0, UINT32)
        place += UINT32.size
        if length == CONTINUATION:
            length = number(source.at(place, UINT32.size), 0, UINT32)
            place += UINT32.size
        if not length:
            return
        if length > METADATA_BYTES or length > source.size - place:
            raise malformed(f"a message declares {length} bytes of metadata")
        message = Table.root(source.at(place, length))
        place += length
        header, size = message.table(2), message.number(3, INT64)
        if header is None or not 0 <= size <= source.size - place:
            raise malformed(f"a message declares a body of {size} bytes")
        yield Message(message.number(1, UINT8), header, place, size)
        place += size


def unpacked_bytes(source: Source, message: Message, batch: Table, columns: list[Layout]) -> int:
    """Return what a batch takes in memory; raises MalformedBodyError for wrong lengths."""
    rows, nodes, buffers = batch.number(0, INT64), batch.pairs(1), batch.pairs(2)
    packed = batch.table(3) is not None
    wanted = sum(column.buffers for column in columns)
    if rows < 0 or len(nodes) != len(columns) or len(buffers) != wanted:
        raise malformed("a record batch has not the columns of the schema")
    sizes = iter([size_of(source, message, each, packed=packed) for each in buffers])
    total = message.length
    for column, (length, nulls) in zip(columns, nodes, strict=True):
        if length != rows or not 0 <= nulls <= rows:
            raise malformed(f"a column of {rows} rows declares {length}, {nulls} of them null")
        for least in column.least(rows, nulls):
            size = next(sizes)
            if size < least:
                raise malformed(f"a buffer of {rows} rows has {size} bytes, and {least} are needed")
            total += size if packed else 0
    return total


def size_of(source: Source, message: Message, buffer: tuple[int, int], *, packed: bool) -> int:
    """Return how many bytes a buffer has unpacked; raises MalformedBodyError."""
    offset, size = buffer
    if offset < 0 or size < 0 or offset + size > message.length:
        raise malformed("a buffer reaches out of its message")
    if not packed or not size:
        return size
    declared = number(source.at(message.start + offset, min(size, INT64.size)), 0, INT64)
    if declared == PACKED_AS_IT_IS:
        return size - INT64.size
    if declared < 0:
        raise malformed(f"a compressed buffer declares {declared} bytes")
    return declared


def layout_of(column: Table) -> Layout:
    """Return the buffers of a column, or of the values of its dictionary."""
    kind, described = column.number(2, UINT8), column.table(3)
    if kind in OFFSET_BYTES:
        return Layout(offset_bytes=OFFSET_BYTES[kind])
    if kind in (BOOLEAN, NULL):
        return Layout(bits=int(kind == BOOLEAN))
    bits = bits_of(kind, described) if described is not None else 0
    if not bits:
        raise malformed(f"a column has type {kind}, which no feature has")
    return Layout(bits=bits)


def bits_of(kind: int, described: Table) -> int:
    """Return the bits of a number, 0 for what is none; raises MalformedBodyError."""
    if kind == INTEGER:
        return whole_bits(described.number(0, INT32))
    if kind == FLOATING:
        precision = described.number(0, INT16)
        return FLOATING_BITS[precision] if 0 <= precision < len(FLOATING_BITS) else 0
    bits = described.number(2, INT32) or USUAL_DECIMAL_BITS
    return bits if kind == DECIMAL and bits in DECIMAL_BITS else 0


def whole_bits(bits: int) -> int:
    """Return the bits of a whole number; raises MalformedBodyError where there are no such."""
    if bits not in (8, 16, 32, 64):
        raise malformed(f"a column has whole numbers of {bits} bits")
    return bits


def too_many_rows(most: int) -> BodyTooLargeError:
    """Return the error to raise for a batch of more rows."""
    return BodyTooLargeError(
        f"The batch has more than {most} rows; send fewer at a time, or raise API_MAX_BATCH_ROWS, "
        "or with `explain=true` API_MAX_EXPLAINED_ROWS."
    )


def malformed(text: str) -> MalformedBodyError:
    """Return the error to raise for a body that is no Arrow stream."""
    return MalformedBodyError(f"The body is not an Arrow stream: {text}.")
