"""A stream of Arrow messages → its parts, and where its counts, lengths and offsets stand.

Only as much of the format as is needed to write other numbers over them:
https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

CONTINUES = b"\xff\xff\xff\xff"
ALIGNED = 8
HEADER, BODY_LENGTH = 2, 3  # fields of a Message
LENGTH, NODES, BUFFERS, COMPRESSION = range(4)  # fields of a RecordBatch
RECORD_BATCH, DICTIONARY_BATCH = 3, 2
DATA = 1  # field of a DictionaryBatch


@dataclass(frozen=True)
class Message:
    """One message: where its metadata and its body stand in the stream."""

    start: int
    metadata: int
    body: int
    end: int


def messages(stream: bytes) -> Iterator[Message]:
    """Yield the messages of a stream, as far as it is one."""
    at = 0
    while stream[at : at + 4] == CONTINUES and at + 8 <= len(stream):
        size = struct.unpack_from("<i", stream, at + 4)[0]
        metadata, body = at + 8, at + 8 + size
        if size <= 0 or body > len(stream):
            return
        try:
            length = body_length(stream, metadata)
        except struct.error:
            return
        yield Message(at, metadata, body, body + length)
        at = body + length


def body_length(stream: bytes, metadata: int) -> int:
    """Return how long the body of a message says to be; 0 where that cannot be."""
    place = field(stream, root(stream, metadata), BODY_LENGTH)
    length = struct.unpack_from("<q", stream, place)[0] if place else 0
    return int(length) if 0 <= length <= len(stream) else 0


def root(stream: bytes, at: int) -> int:
    """Return where the table is that an offset points to."""
    return at + int(struct.unpack_from("<I", stream, at)[0])


def field(stream: bytes, table: int, number: int) -> int:
    """Return where a field of a table stands, 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", stream, table)[0]
    entry = 4 + 2 * number
    if entry >= struct.unpack_from("<H", stream, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", stream, vtable + entry)[0]
    return table + int(offset) if offset else 0


def numbers(stream: bytes) -> list[int]:
    """Return where 64-bit counts, lengths and offsets of record batches stand."""
    places: list[int] = []
    for message in messages(stream):
        try:
            places += of_batch(stream, message)
        except (struct.error, IndexError):
            continue
    return [place for place in places if 0 < place <= len(stream) - ALIGNED]


def of_batch(stream: bytes, message: Message) -> Iterator[int]:
    """Yield where the numbers of one message stand."""
    table = root(stream, message.metadata)
    if place := field(stream, table, BODY_LENGTH):
        yield place
    kind = field(stream, table, 1)
    header = field(stream, table, HEADER)
    if not kind or not header or stream[kind] not in (RECORD_BATCH, DICTIONARY_BATCH):
        return
    batch = root(stream, header)
    if stream[kind] == DICTIONARY_BATCH:
        batch = root(stream, field(stream, batch, DATA))
    if place := field(stream, batch, LENGTH):
        yield place
    for number in (NODES, BUFFERS):
        if place := field(stream, batch, number):
            vector = root(stream, place)
            count = min(struct.unpack_from("<I", stream, vector)[0], 1_000)
            yield from range(vector + 4, vector + 4 + 16 * count, 8)
