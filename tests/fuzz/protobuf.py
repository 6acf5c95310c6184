"""Bytes of protobuf → their fields, without knowing what they mean; and fields changed inside."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutating import BLIND, WIDE

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
SIZES = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
NUMBERS = (1, 2, 5, 7, 8, 11, 14, 15, 20, 25, 2**29 - 1)


def number(value: int) -> bytes:
    """Return a whole number as protobuf writes it."""
    value %= 1 << 64
    pieces = bytearray()
    while value > 127:
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])


def field(at: int, data: bytes) -> bytes:
    """Return a field that holds bytes."""
    return number(at << 3 | LENGTH) + number(len(data)) + data


def nested(depth: int) -> bytes:
    """Return graphs in attributes in nodes, without a value in any."""
    body = b""
    for _ in range(depth):
        body = field(1, field(5, field(6, body)))
    return field(7, body)


@dataclass(frozen=True)
class Field:
    """A field of a message, as bytes or as a number."""

    number: int
    kind: int
    value: bytes | int

    def to_bytes(self) -> bytes:
        """Return it as protobuf writes it."""
        head = number(self.number << 3 | self.kind)
        if isinstance(self.value, int):
            return head + number(self.value)
        return head + (number(len(self.value)) if self.kind == LENGTH else b"") + self.value


def fields(body: bytes) -> list[Field] | None:
    """Return the fields of a message, None where these bytes are none."""
    try:
        return list(_fields(body))
    except (IndexError, ValueError):
        return None


def _fields(body: bytes) -> Iterator[Field]:
    at = 0
    while at < len(body):
        head, at = _number(body, at)
        kind = head & 7
        if kind == VARINT:
            value, at = _number(body, at)
            yield Field(head >> 3, kind, value)
            continue
        if kind != LENGTH and kind not in SIZES:
            raise ValueError(kind)
        size = SIZES.get(kind, 0)
        if kind == LENGTH:
            size, at = _number(body, at)
        if at + size > len(body):
            raise ValueError(size)
        yield Field(head >> 3, kind, body[at : at + size])
        at += size


def _number(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError(shift)


def change_field(random: Random, body: bytes) -> bytes:
    """Change one field somewhere inside, with the lengths around it right."""
    parts = fields(body)
    if not parts:
        return random.choice(BLIND)(random, body)
    at = random.randrange(len(parts))
    part = parts[at]
    if isinstance(part.value, int):
        parts[at] = Field(part.number, part.kind, random.choice(WIDE))
    elif part.kind == LENGTH and part.value and random.random() < 0.9:
        parts[at] = Field(part.number, part.kind, change_field(random, part.value))
    else:
        parts[at : at + 1] = [part] * random.choice((0, 2, 50, 2_000))
    return b"".join(each.to_bytes() for each in parts)


def change_number(random: Random, body: bytes) -> bytes:
    """Give a field another number or kind."""
    parts = fields(body)
    if not parts:
        return body
    at = random.randrange(len(parts))
    part = parts[at]
    if part.kind == LENGTH and isinstance(part.value, bytes) and random.random() < 0.7:
        parts[at] = Field(part.number, part.kind, change_number(random, part.value))
    else:
        parts[at] = Field(
            random.choice((1, 2, 5, 7, 8, 11, 14, 15, 20, 25, 2**29 - 1)), part.kind, part.value
        )
    return b"".join(each.to_bytes() for each in parts)
