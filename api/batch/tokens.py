"""Text of many fields → the codes of the categories they name, by a table without collisions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from api.batch.numbers import Integers, Text, Words

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
        found = self._table[self._slots(words, lengths)]
        same = self._lengths[found] == lengths
        for word, known in zip(words, self._words, strict=True):
            same &= known[found] == word
        return np.where(same, self._codes[found], -1.0)

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
