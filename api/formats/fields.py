"""Text of many fields becomes float64 numbers or codes of categories, without a loop over rows.

A field's characters are taken as little-endian words of eight bytes; the digits of a word become
one integer by three multiplications (D. Lemire, "Number parsing at a gigabyte per second", 2021).
Up to 2^53 an integer is exact, and so is 10^22: their quotient is then the nearest number there is
(W. Clinger, "How to read floating point numbers accurately", 1990). What is longer is known to two
units in the last place, which decides its float32 but for a few fields. Those few, exponents and
whatever else is no plain number are left to the caller. Categories are looked up in a table
without collisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PAD_BYTES = 24  # in front of a text, so that the words of its first field begin inside it
MAX_WORDS = PAD_BYTES // 8
DOUBT = 2.0**-51  # two roundings and the next power of two


def repeated(byte: int) -> np.uint64:
    """Return a word of eight equal bytes."""
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


ONE, SEVEN, EIGHT = np.uint64(1), np.uint64(7), np.uint64(8)
ONES, HIGHS, ZEROS, DOTS = (repeated(byte) for byte in (0x01, 0x80, 0x30, 0x2E))
SIXES, NIBBLES, DOT_OVER_ZERO = repeated(0x06), repeated(0xF0), np.uint64(0x2E ^ 0x30)
DOTS_OVER_ZERO = repeated(0x2E ^ 0x30)
MASKS = np.array(
    [0] + [(2**64 - 1) ^ (2 ** (64 - 8 * n) - 1) for n in range(1, 9)], dtype=np.uint64
)
EXACT = np.uint64(2**53)
TOP_WORD = np.uint64(1000)  # times 10^16, the most that a word holds
POWERS = 10.0 ** np.arange(23)
STEPS = (
    (repeated(0x0F), np.uint64(2561), EIGHT),
    (np.uint64(0x00FF00FF00FF00FF), np.uint64(6553601), np.uint64(16)),
    (np.uint64(0x0000FFFF0000FFFF), np.uint64(42949672960001), np.uint64(32)),
)


@dataclass(frozen=True)
class Text:
    """Bytes as they are, and as overlapping words of eight: `words[i]` begins at byte i."""

    chars: NDArray[np.uint8]
    words: Words

    @classmethod
    def of(cls, padded: bytes) -> "Text":
        """Look at a text that begins with `PAD_BYTES` bytes of padding."""
        words: Words = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
        return cls(np.frombuffer(padded, dtype=np.uint8), words)

    def word(self, ends: Integers, lengths: Integers, place: int) -> Words:
        """Return the word `place` from the end of each field, zero before the field begins."""
        mask = MASKS[np.clip(lengths - 8 * place, 0, 8)]
        words: Words = self.words[np.maximum(ends - 8 * (place + 1), 0)] & mask
        return words


@dataclass(frozen=True)
class Numbers:
    """Numbers of n fields: `near` are known to DOUBT of their size, `unknown` not at all."""

    values: Floats
    near: Mask
    unknown: Mask


def parse(text: Text, starts: Integers, ends: Integers) -> Numbers:
    """Read the fields from `starts` to before `ends` as decimal numbers."""
    negative = text.chars[starts] == ord("-")
    lengths = ends - starts - negative
    mantissas = np.zeros(len(starts), dtype=np.uint64)
    scale = np.ones(len(starts), dtype=np.uint64)
    dots, decimals = (np.zeros(len(starts), dtype=np.int64) for _ in range(2))
    unknown = (lengths < 1) | (lengths > PAD_BYTES)
    longest = min(int(lengths.max(initial=0)), PAD_BYTES)
    count = (longest + 7) // 8
    for place in range(count):
        word = text.word(ends, lengths, place)
        word |= ZEROS & ~MASKS[np.clip(lengths - 8 * place, 0, 8)]
        digits, dot = without_dot(word)
        unknown |= ((digits | (digits + SIXES)) & NIBBLES) != 0
        has_dot = dot != 0
        dots += has_dot
        decimals += (8 * place + 7 - (np.bitwise_count(dot - ONE) >> 3).astype(np.int64)) * has_dot
        number = eight_digits(shifted(digits, dot))
        if place == MAX_WORDS - 1:
            unknown |= number >= TOP_WORD
        mantissas += number * scale
        if place + 1 < count:
            scale *= np.where(has_dot, np.uint64(10**7), np.uint64(10**8))
    unknown |= (dots > 1) | (dots == lengths) | (decimals >= len(POWERS))
    values = mantissas.astype(np.float64) / POWERS[np.minimum(decimals, len(POWERS) - 1)]
    return Numbers(np.where(negative, -values, values), mantissas > EXACT, unknown)


def without_dot(word: Words) -> tuple[Words, Words]:
    """Return the digits of words of text, 0 in the place of the first dot; and a bit that marks it.

    The bit is the highest of the dot's byte; there is none where there is no dot.
    """
    digits = word ^ ZEROS
    other = digits ^ DOTS_OVER_ZERO
    marks = (other - ONES) & ~other & HIGHS
    dot = marks & (~marks + ONE)
    return digits ^ ((dot >> SEVEN) * DOT_OVER_ZERO), dot


def shifted(digits: Words, dot: Words) -> Words:
    """Move the digits before the dot over it."""
    before = digits & ((dot >> SEVEN) - (dot != 0))
    words: Words = digits + (before << EIGHT) - before
    return words


def eight_digits(word: Words) -> Words:
    """Return the number that eight digits make."""
    for mask, factor, shift in STEPS:
        word = ((word & mask) * factor) >> shift
    return word


SEED = 20  # any: the search below ends with a table that has no collision, whatever it begins with
TRIES = 64  # until the table is made larger


class Tokens:
    """Finds which of a few known texts each field is; every byte is compared."""

    def __init__(self, codes: Mapping[str, float]) -> None:
        """Take the code of each text."""
        texts = [text.encode() for text in codes]
        self._codes = np.array([*codes.values(), -1.0])
        self._lengths = np.array([*map(len, texts), -1])
        self.words = max(1, (max(map(len, texts)) + 7) // 8)
        padded = [text.rjust(8 * self.words, b"\0") for text in texts] + [b"\0" * 8 * self.words]
        whole = np.frombuffer(b"".join(padded), dtype="<u8").reshape(len(padded), self.words)
        self._words = [whole[:, self.words - 1 - place].copy() for place in range(self.words)]
        self._search()

    def find(self, text: Text, starts: Integers, ends: Integers) -> NDArray[np.float64]:
        """Return the code of each field, -1 for one that is no known text."""
        lengths = ends - starts
        words = [text.word(ends, lengths, place) for place in range(self.words)]
        codes = self._table[self._slots(words, lengths)]
        same = self._lengths[codes] == lengths
        for word, known in zip(words, self._words, strict=True):
            same &= known[codes] == word
        return np.where(same, self._codes[codes], -1.0)

    def _search(self) -> None:
        """Look for factors that give every text a slot of its own."""
        random = np.random.default_rng(SEED)
        count = len(self._lengths) - 1
        bits = max(count.bit_length() + 2, 4)
        known = [words[:-1] for words in self._words]
        while True:
            for _ in range(TRIES):
                self._factors = random.integers(1, 2**63, self.words + 1, dtype=np.uint64) | 1
                self._shift = np.uint64(64 - bits)
                slots = self._slots(known, self._lengths[:-1])
                if len(np.unique(slots)) == count:
                    self._table = np.full(1 << bits, count)
                    self._table[slots] = np.arange(count)
                    return
            bits += 1

    def _slots(self, words: list[Words], lengths: Integers) -> Words:
        mixed = lengths.astype(np.uint64) * self._factors[-1]
        for word, factor in zip(words, self._factors, strict=False):
            mixed += (word ^ (word >> np.uint64(32))) * factor
        slots: Words = mixed >> self._shift
        return slots
