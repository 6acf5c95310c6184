"""A chunk of CSV → rows, column by column: as fast as the bytes can be looked at.

Whatever is not plain here (a quoted comma, a blank line, a row of another length) goes the way of
`api.batch.csv_records`, and so does a row with anything wrong, which then says what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.batch.csv_records import BOOLEANS, CsvRecords, number_of
from api.batch.numbers import DOUBT, PAD_BYTES, Integers, Mask, Numbers, Text, parse
from api.batch.rows import Bad, Contract, Rows, within
from api.batch.tokens import Tokens
from api.contract.schemas import limits
from treeline.artifact.encoding import codes, missing_code
from treeline.artifact.features import Feature
from treeline.errors import InvalidInputError

COMMA, NEWLINE, QUOTE = b',\n"'


@dataclass(frozen=True)
class Fields:
    """The fields of one column: from where to before where each goes."""

    text: Text
    starts: Integers
    ends: Integers

    def at(self, row: int) -> str:
        """Return the text of one field."""
        part = self.text.chars[self.starts[row] : self.ends[row]]
        return part.tobytes().decode(errors="replace")


class CsvColumns:
    """Reads chunks of one CSV file, whose header names these columns."""

    def __init__(self, contract: Contract, names: Sequence[str]) -> None:
        self._features: Mapping[str, Feature] = contract.features
        self._width = len(names)
        self._places = {name: place for place, name in enumerate(names)}
        self._records = CsvRecords(contract, names)
        self._tokens = {
            name: Tokens(codes(feature) or BOOLEANS)
            for name, feature in contract.features.items()
            if feature.type in ("category", "boolean")
        }
        words = max((tokens.words for tokens in self._tokens.values()), default=0)
        self._pad = b"\n" * max(PAD_BYTES, 8 * words)

    def read(self, chunk: bytes, *, first: int) -> Rows:
        """Return the rows of a chunk whose first line has the number `first`."""
        plain = plain_text(chunk, width=self._width)
        found = None if plain is None else self._columns(plain, first)
        return self._records.read(chunk, first=first) if found is None else found

    def _columns(self, plain: bytes, first: int) -> Rows | None:
        """Return the rows of lines without quotes, or None where their shape is another one."""
        padded = self._pad + plain
        text = Text.of(padded)
        marks = np.flatnonzero((text.chars == COMMA) | (text.chars == NEWLINE))
        marks = marks[len(self._pad) - 1 :]
        count, rest = divmod(len(marks) - 1, self._width)
        if rest or plain.count(b"\n") != count:
            return None
        ends = marks[1:].reshape(count, self._width)
        if not (text.chars[ends[:, -1]] == NEWLINE).all():
            return None
        starts = marks[:-1].reshape(count, self._width)
        matrix = np.empty((count, len(self._features)), dtype=np.float32, order="F")
        refused = np.zeros(count, dtype=np.bool_)
        for position, (name, feature) in enumerate(self._features.items()):
            place = self._places.get(name)
            if place is None:
                matrix[:, position] = missing_code(feature)
                continue
            fields = Fields(text, starts[:, place] + 1, ends[:, place].copy())
            matrix[:, position], bad = self._column(name, fields)
            refused |= bad
        lines = (marks[0], ends[:, -1])
        matrix = np.ascontiguousarray(matrix)
        found = self._explained(padded, lines, matrix, refused)
        return Rows(matrix, np.arange(first, first + count), found)

    def _column(self, name: str, fields: Fields) -> tuple[NDArray[np.float64], Mask]:
        """Return the codes of a column, and which of its fields are refused."""
        feature = self._features[name]
        if name in self._tokens:
            values = self._tokens[name].find(fields.text, fields.starts, fields.ends)
            bad = values < 0
        else:
            values = numbers(fields, feature)
            bad = ~within(values, feature)
            values[bad] = 0  # what does not fit float32 would warn
        missing = fields.starts == fields.ends
        if missing.any():
            values[missing] = missing_code(feature)
            bad = bad & ~missing if feature.optional else bad | missing
        return values, bad

    def _explained(
        self, padded: bytes, lines: tuple[int, Integers], matrix: NDArray[np.float32], refused: Mask
    ) -> Bad:
        """Look at the refused rows one by one; what is right after all gets its codes."""
        bad: Bad = {}
        first, ends = lines
        for row in np.flatnonzero(refused).tolist():
            start = first if row == 0 else ends[row - 1]
            try:
                matrix[row] = self._records.codes(padded[start + 1 : ends[row]])
            except InvalidInputError as error:
                bad[row] = error.problems
        return bad


def numbers(fields: Fields, feature: Feature) -> NDArray[np.float64]:
    """Return the numbers of a column: such that their float32 is exact, NaN for no number."""
    found = parse(fields.text, fields.starts, fields.ends)
    unclear = found.unknown & (fields.starts != fields.ends)
    if found.near.any():
        unclear |= found.near & doubtful(found, feature)
    for row in np.flatnonzero(unclear).tolist():
        number = number_of(fields.at(row))
        found.values[row] = np.nan if isinstance(number, str) else number
    return found.values


def doubtful(found: Numbers, feature: Feature) -> Mask:
    """Tell which numbers that are nearly known could be another float32, or break a bound."""
    if feature.type == "integer":
        return found.near
    values = found.values
    with np.errstate(over="ignore"):
        low, high = ((values * (1 + side)).astype(np.float32) for side in (-DOUBT, DOUBT))
    doubt: Mask = low != high
    for bound in limits(feature):
        doubt |= np.abs(values - bound) <= 2 * DOUBT * abs(bound)
    return doubt


def plain_text(chunk: bytes, *, width: int) -> bytes | None:
    """Return whole lines without quotes, each ended by a newline, or None where they need more."""
    if b"\r" in chunk:
        chunk = chunk.replace(b"\r\n", b"\n")
    if chunk[-2:-1] == b"\n" or chunk[-1:] != b"\n":
        chunk = chunk.rstrip(b"\n") + b"\n"
    plain = unquoted(chunk)
    # In one column a blank line looks like a missing value; in several it has too few fields.
    if plain is None or b"\r" in plain or (width == 1 and b"\n\n" in b"\n" + plain):
        return None
    return plain


def unquoted(lines: bytes) -> bytes | None:
    """Return lines without their quotes, where these do no more than stand around whole fields."""
    if b'"' not in lines:
        return lines
    text = np.frombuffer(b"\n" + lines, dtype=np.uint8)
    quotes = np.flatnonzero(text == QUOTE)
    if len(quotes) % 2 or quotes[-1] == len(text) - 1:
        return None
    mark = (text == COMMA) | (text == NEWLINE)
    opening, closing = quotes[::2], quotes[1::2]
    if not (mark[opening - 1].all() and mark[closing + 1].all()):
        return None
    before = np.cumsum(mark, dtype=np.int64)
    return lines.replace(b'"', b"") if (before[opening] == before[closing]).all() else None
