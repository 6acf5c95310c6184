"""Text of many fields becomes float64 numbers or codes of categories, without a loop over rows.

A field's characters are taken as little-endian words of eight bytes; the digits of a word become
one integer by three multiplications (D. Lemire, "Number parsing at a gigabyte per second", 2021).
Up to 2^53 an integer is exact, and so is 10^22: their quotient is then the nearest number there is
(W. Clinger, "How to read floating point numbers accurately", 1990). What is longer is known to two
units in the last place, which decides its float32 but for a few fields. Those few, exponents and
whatever else is no plain number are left to the caller. Categories are looked up in a table
without collisions.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PAD_BYTES = 24  # in front of a text, so that the words of its first field begin inside it
MAX_WORDS = PAD_BYTES // 8
BLOCK_FIELDS = 12_288  # what is computed of so many fields stays in the processor's cache
DOUBT = 2.0**-51  # two roundings and the next power of two


def repeated(byte: int) -> np.uint64:
    """Return a word of eight equal bytes."""
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


NOTHING, ONE, SEVEN = np.uint64(0), np.uint64(1), np.uint64(7)
ONES, HIGHS, ZEROS, SIXES = (repeated(byte) for byte in (0x01, 0x80, 0x30, 0x06))
MINUS, DOT_OVER_ZERO, DOTS_OVER_ZERO = ord("-"), np.uint64(0x2E ^ 0x30), repeated(0x2E ^ 0x30)
NIBBLES, BYTE = repeated(0xF0), np.uint64(0xFF)
EXACT = np.uint64(2**53)
TOP_WORD = np.uint64(1000)  # times 10^16, the most that a word holds
POWERS = 10.0 ** np.arange(23)
NO_DOT = 8  # in the place of a dot, of which a word has eight
DECIMALS = np.array([7, 6, 5, 4, 3, 2, 1, 0, 0])  # after the place of a dot, in its word
DIVISORS = POWERS[DECIMALS]
STEPS = (
    (repeated(0x0F), np.uint64(2561), np.uint64(8)),
    (np.uint64(0x00FF00FF00FF00FF), np.uint64(6553601), np.uint64(16)),
    (np.uint64(0x0000FFFF0000FFFF), np.uint64(42949672960001), np.uint64(32)),
)


@dataclass(frozen=True)
class Text:
    """Bytes, of which the first are padding."""

    padded: bytes
    chars: NDArray[np.uint8]

    @classmethod
    def of(cls, padded: bytes) -> "Text":
        """Look at a text that begins with `PAD_BYTES` bytes of padding."""
        return cls(padded, np.frombuffer(padded, dtype=np.uint8))

    def words(
        self, ends: Integers, lengths: Integers, count: int, *, flipped: np.uint64 = NOTHING
    ) -> Iterator[Words]:
        """Yield the `count` words before the end of each field, the last one first.

        The bits of `flipped` are turned over in each; what is before the field is 0. To look up
        where a field is takes longer than any step that follows: all words of it are had at once.
        """
        size = 8 * count
        windows = np.ndarray(
            (len(self.padded) - size + 1,), dtype=f"V{size}", buffer=self.padded, strides=(1,)
        )
        taken = windows[ends - size].view("<u8").reshape(len(ends), count)
        for place in range(count):
            before = 8 * (place + 1) - lengths  # how many bytes of the word are not the field's
            np.maximum(before, 0, out=before)
            np.minimum(before, 8, out=before)
            bits = np.left_shift(before, 3, out=before).view(np.uint64)
            word = taken[:, count - 1 - place] ^ flipped
            np.right_shift(word, bits, out=word)
            yield np.left_shift(word, bits, out=word)


@dataclass(frozen=True)
class Numbers:
    """Numbers of n fields: `near` are known to DOUBT of their size, `unknown` not at all."""

    values: Floats
    near: Mask
    unknown: Mask

    def part(self, fields: slice) -> "Numbers":
        """Return some of them, as a view."""
        return Numbers(self.values[fields], self.near[fields], self.unknown[fields])


def parse(text: Text, starts: Integers, ends: Integers) -> Numbers:
    """Read the fields from `starts` to before `ends` as decimal numbers."""
    count = len(starts)
    numbers = Numbers(np.empty(count), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
    for first in range(0, count, BLOCK_FIELDS):
        block = slice(first, first + BLOCK_FIELDS)
        parse_block(text, starts[block], ends[block], numbers.part(block))
    return numbers


def parse_block(text: Text, starts: Integers, ends: Integers, numbers: Numbers) -> None:
    """Read at least one field, and as many as are computed at once."""
    negative = text.chars.take(starts) == MINUS
    lengths = ends - starts
    lengths -= negative
    longest = int(lengths.max())
    if longest > PAD_BYTES:
        np.greater(lengths, PAD_BYTES, out=numbers.unknown)
    count = max(1, (min(longest, PAD_BYTES) + 7) // 8)
    words = text.words(ends, lengths, count, flipped=ZEROS)
    if count == 1:
        number, dots = word_number(next(words), numbers.unknown)
        digits = lengths - (dots != NO_DOT)
        np.divide(number.view(np.int64), DIVISORS.take(dots), out=numbers.values)
    else:
        digits = join(words, lengths, numbers)
    if int(digits.min()) < 1:
        numbers.unknown[digits < 1] = True
    if negative.any():
        np.negative(numbers.values, out=numbers.values, where=negative)


def join(words: Iterable[Words], lengths: Integers, numbers: Numbers) -> Integers:
    """Read fields of several words, the last one first; return how many digits each field has."""
    mantissas, scale = np.zeros(len(lengths), np.uint64), np.ones(len(lengths), np.uint64)
    dots, decimals = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    for place, word in enumerate(words):
        number, dot = word_number(word, numbers.unknown)
        has_dot = dot != NO_DOT
        dots += has_dot
        decimals += (DECIMALS.take(dot) + 8 * place) * has_dot
        if place == MAX_WORDS - 1:
            numbers.unknown[number >= TOP_WORD] = True
        number *= scale
        mantissas += number
        scale *= np.where(has_dot, np.uint64(10**7), np.uint64(10**8))
    numbers.unknown[(dots > 1) | (decimals >= len(POWERS))] = True
    powers = POWERS.take(np.minimum(decimals, len(POWERS) - 1))
    np.divide(mantissas, powers, out=numbers.values)
    np.greater(mantissas, EXACT, out=numbers.near)
    return lengths - dots


def word_number(digits: Words, unknown: Mask) -> tuple[Words, NDArray[np.uint8]]:
    """Return the number that a word of text says, and the place of its first dot, or NO_DOT.

    The word has the bits of `0` turned over, and it is overwritten. What has anything but digits
    and one dot is marked as unknown.
    """
    dot, spare = first_dot(digits)
    place = np.subtract(dot, ONE, out=spare)  # all bits before the dot, or all where there is none
    places = np.bitwise_count(place)
    places >>= 3
    dot >>= SEVEN
    dot *= DOT_OVER_ZERO
    digits ^= dot
    other = np.add(digits, SIXES, out=dot)
    other |= digits
    if np.bitwise_or.reduce(other) & NIBBLES:
        other &= NIBBLES
        unknown |= other != 0
    before = np.bitwise_xor(place, (place.view(np.int64) >> 63).view(np.uint64), out=place)
    before >>= SEVEN
    before &= digits
    before *= BYTE  # moves the digits before the dot over it
    digits += before
    for mask, factor, shift in STEPS:  # the number that eight digits make
        digits &= mask
        digits *= factor
        digits >>= shift
    return digits, places


def first_dot(digits: Words) -> tuple[Words, Words]:
    """Return the highest bit of the first dot of each word, 0 for none; and an array to overwrite.

    Words have the bits of `0` turned over.
    """
    other = digits ^ DOTS_OVER_ZERO
    marks = other - ONES
    np.invert(other, out=other)
    marks &= other
    marks &= HIGHS
    np.negative(marks, out=other)
    marks &= other
    return marks, other


SEED = 20  # any: the search below ends with a table that has no collision, whatever it begins with
TRIES = 64  # until the table is made larger


class Tokens:
    """Finds which of a few known texts each field is; every byte is compared."""

    def __init__(self, codes: Mapping[str, float]) -> None:
        """Take the code of each text."""
        texts = [text.encode() for text in codes]
        self._codes = np.array([*codes.values(), -1.0])
        self._lengths = np.array([*map(len, texts), -1], dtype=np.int64)
        self.words = max(1, (max(map(len, texts)) + 7) // 8)
        padded = [text.rjust(8 * self.words, b"\0") for text in texts] + [b"\0" * 8 * self.words]
        whole = np.frombuffer(b"".join(padded), dtype="<u8").reshape(len(padded), self.words)
        self._words = [whole[:, self.words - 1 - place].copy() for place in range(self.words)]
        self._search()

    def find(self, text: Text, starts: Integers, ends: Integers) -> NDArray[np.float64]:
        """Return the code of each field, -1 for one that is no known text."""
        lengths = ends - starts
        words = [*text.words(ends, lengths, self.words)]
        places = self._table.take(self._slots(words, lengths).view(np.int64))
        same = self._lengths.take(places) == lengths
        for word, known in zip(words, self._words, strict=True):
            same &= known.take(places) == word
        codes = self._codes.take(places)
        if not same.all():
            codes[~same] = -1.0
        return codes

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
        mixed: Words = lengths.view(np.uint64) * self._factors[-1]
        for word, factor in zip(words, self._factors, strict=False):
            mixed += word * factor
        mixed >>= self._shift
        return mixed
