"""Bytes → other bytes, without knowing what they mean."""

import struct
from random import Random

from tests.fuzz.cases import Mutator

LONGEST = 1 << 20
MOST_REPEATS = 2_000
INTEGERS = (0, 1, -1, 7, 8, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
WIDE = (*INTEGERS, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63), -8, -64)
NUMERALS = (
    b"0",
    b"-1",
    b"1e999",
    b"-0",
    b"9" * 400,
    b"1e-400",
    b"NaN",
    b"0x10",
    b"1_0",
    b"\xd9\xa1",
)


def flip_bits(random: Random, body: bytes) -> bytes:
    """Flip a few bits."""
    changed = bytearray(body)
    for _ in range(random.randint(1, 8) if body else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(random: Random, body: bytes) -> bytes:
    """Cut the end off."""
    return body[: random.randint(0, len(body))]


def delete(random: Random, body: bytes) -> bytes:
    """Leave a part out."""
    start, end = span(random, body)
    return body[:start] + body[end:]


def repeat(random: Random, body: bytes) -> bytes:
    """Repeat a part, many times where it is short."""
    start, end = span(random, body)
    most = min(MOST_REPEATS, (LONGEST - len(body)) // max(1, end - start))
    return body[:end] + body[start:end] * random.randint(0, max(0, most)) + body[end:]


def move(random: Random, body: bytes) -> bytes:
    """Copy one part over another place."""
    start, end = span(random, body)
    target = random.randint(0, len(body))
    return body[:target] + body[start:end] + body[target + (end - start) :]


def insert_noise(random: Random, body: bytes) -> bytes:
    """Put random bytes somewhere."""
    at = random.randint(0, len(body))
    return body[:at] + random.randbytes(random.randint(1, 64)) + body[at:]


def insert_run(random: Random, body: bytes) -> bytes:
    """Put one byte somewhere, many times."""
    at = random.randint(0, len(body))
    piece = bytes([random.choice(b'\x00\xff [{"\\,\n\r0a')])
    return body[:at] + piece * random.choice((1, 100, 10_000, 100_000)) + body[at:]


def overwrite_integer(random: Random, body: bytes) -> bytes:
    """Write an integer at the edge of something over aligned bytes: lengths, offsets, counts."""
    size, code = random.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    if len(body) < size:
        return body
    at = random.randrange(len(body) - size + 1) // size * size
    value = random.choice((*WIDE, len(body), len(body) - at, at)) % (1 << 8 * size)
    return body[:at] + struct.pack(random.choice("<>") + code, value) + body[at + size :]


def overwrite_numeral(random: Random, body: bytes) -> bytes:
    """Write another number over digits of a text."""
    digits = [at for at, byte in enumerate(body) if byte in b"0123456789"]
    if not digits:
        return body
    start = end = random.choice(digits)
    while end < len(body) and body[end] in b"0123456789.eE+-":
        end += 1
    return body[:start] + random.choice(NUMERALS) + body[end:]


def span(random: Random, body: bytes) -> tuple[int, int]:
    """Return where a part begins and ends: short ones more often."""
    start = random.randint(0, len(body))
    longest = random.choice((4, 16, 64, 1024, len(body) or 1))
    return start, min(len(body), start + random.randint(1, longest))


BLIND: tuple[Mutator, ...] = (
    flip_bits,
    truncate,
    delete,
    repeat,
    move,
    insert_noise,
    insert_run,
    overwrite_integer,
)
