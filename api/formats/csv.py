"""A chunk of CSV becomes rows, column by column: as fast as the bytes can be looked at.

Whatever is not plain (a quoted comma, a blank line, a row of another length) is read record by
record, and so is a row with anything wrong, which then says what.
"""

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from api.contract.faults import MAX_PROBLEMS, Faults
from api.formats.fields import DOUBT, PAD_BYTES, Integers, Mask, Numbers, Text, Tokens, parse
from api.formats.rows import Contract, Rows
from treeline.contract.encoding import Record, missing_code
from treeline.contract.features import Feature, Value, key_text
from treeline.contract.kinds import Column
from treeline.contract.texts import number_of
from treeline.errors import InvalidInputError, Problem


class CsvRecords:
    """Reads chunks of one CSV file, whose header names these columns."""

    def __init__(self, contract: Contract, names: Sequence[str]) -> None:
        self._contract = contract
        self._names = names

    def read(self, chunk: bytes, *, first: int, most_explained: int = MAX_PROBLEMS) -> Rows:
        """Return the rows of a chunk, the first of which has this number; blank lines are none.

        A chunk with a quote that is left open ends in a row that is bad.
        """
        numbered = lines(chunk.decode(errors="replace"), first=first)
        records = ((number, partial(self._record, texts)) for number, texts in numbered)
        return self._contract.rows(records, most_explained=most_explained)

    def codes(self, line: bytes) -> list[float]:
        """Return the codes of one row; raises InvalidInputError."""
        ((_, texts),) = lines(line.decode(errors="replace"), first=0)
        return self._contract.codes(self._fields(texts))

    def _record(self, texts: list[str] | str) -> Record:
        """Return a checked row; raises InvalidInputError and ValidationError."""
        return self._contract.validator.validate_python(self._fields(texts))

    def _fields(self, texts: list[str] | str) -> dict[str, Value]:
        """Return what the fields of a row say; raises InvalidInputError."""
        if isinstance(texts, str):
            raise InvalidInputError([Problem("", texts)])
        if len(texts) != len(self._names):
            text = f"has {len(texts)} fields, and the header has {len(self._names)}"
            raise InvalidInputError([Problem("", text)])
        record: dict[str, Value] = {}
        for name, text in zip(self._names, texts, strict=True):
            if not text or text in self._contract.missing:
                continue
            feature = self._contract.features.get(name)
            if feature is not None:
                record[name] = feature.kind.parsed(text)
            elif name == self._contract.key:
                record[name] = text
        return record


def lines(text: str, *, first: int) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the number of each row, and its fields or what is wrong; blank lines are no rows."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    row = first
    while True:
        fields: list[str] | str
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields = f"is no row of CSV: {error}"
        if fields:
            yield row, fields
            row += 1


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
        self._contract = contract
        self._features: Mapping[str, Feature] = contract.features
        self._width = len(names)
        self._places = {name: place for place, name in enumerate(names)}
        self._missing = Tokens(dict.fromkeys(contract.missing, 1.0)) if contract.missing else None
        self._records = CsvRecords(contract, names)
        self._tokens = {
            name: Tokens(known_texts(feature, contract.missing))
            for name, feature in contract.features.items()
            if feature.kind.spellings(feature)
        }
        searched = [*self._tokens.values(), *filter(None, [self._missing])]
        words = max((tokens.words for tokens in searched), default=0)
        self._pad = b"\n" * max(PAD_BYTES, 8 * words)

    def read(self, chunk: bytes, *, first: int, most_explained: int = MAX_PROBLEMS) -> Rows:
        """Return the rows of a chunk, the first of which has the number `first`.

        What is wrong is said of so many of them, and counted for all.
        """
        plain = plain_text(chunk, width=self._width)
        faults = Faults(most_explained)
        rows = None if plain is None else self._columns(plain, first, faults)
        if rows is not None:
            return rows
        return self._records.read(chunk, first=first, most_explained=most_explained)

    def _columns(self, plain: bytes, first: int, faults: Faults) -> Rows | None:
        """Return the rows of lines without quotes, or None where their shape is another one."""
        text = Text.of(self._pad + plain)
        marks = self._marks(text)
        if marks is None:
            return None
        ends = marks[self._width :: self._width]
        count = len(ends)
        matrix = np.empty((count, len(self._features)), dtype=np.float32)
        refused = np.zeros(count, dtype=np.int64)
        parsed = self._parsed(text, marks)
        for position, (name, feature) in enumerate(self._features.items()):
            place = self._places.get(name)
            if place is None:
                matrix[:, position] = missing_code(feature)
                continue
            fields, numbers = parsed.get(name) or (self._fields(text, marks, place), None)
            codes, bad = self._column(name, fields, numbers)
            matrix[:, position] = codes
            if bad is not None:
                refused += bad
        keys: list[str | None] | None = None
        if self._contract.key is not None:
            keys = [None] * count
            if (at := self._places.get(self._contract.key)) is not None:
                keys, bad = self._keys(self._fields(text, marks, at))
                refused += bad
        rows = Rows(matrix, np.arange(first, first + count), faults.by_row, keys=keys)
        self._look_at(text.padded, (marks[0], ends), rows, refused, faults)
        return rows

    def _marks(self, text: Text) -> Integers | None:
        """Return what ends each field, and before these what is in front of the first one.

        None where not every row has as many fields as the header.
        """
        newlines = text.chars == NEWLINE
        marks = np.flatnonzero(newlines | (text.chars == COMMA))[len(self._pad) - 1 :]
        count, rest = divmod(len(marks) - 1, self._width)
        # As many newlines as rows, and one at the end of each; `bytes.count` is far slower here.
        if rest or np.count_nonzero(newlines) != count + len(self._pad):
            return None
        ends = marks[self._width :: self._width]
        return marks if (text.chars[ends] == NEWLINE).all() else None

    def _fields(self, text: Text, marks: Integers, place: int) -> Fields:
        """Return the fields of one column; `marks` are before the first one and after each."""
        return Fields(
            text, marks[place : -1 : self._width] + 1, marks[place + 1 :: self._width].copy()
        )

    def _parsed(self, text: Text, marks: Integers) -> dict[str, tuple[Fields, Numbers]]:
        """Return the fields of all columns of numbers, and what they say, computed at once."""
        names = [
            each for each in self._features if each in self._places and each not in self._tokens
        ]
        count = (len(marks) - 1) // self._width
        starts, ends = (np.empty((len(names), count), dtype=np.int64) for _ in range(2))
        for row, name in enumerate(names):
            place = self._places[name]
            np.add(marks[place : -1 : self._width], 1, out=starts[row])
            ends[row] = marks[place + 1 :: self._width]
        numbers = parse(text, starts.reshape(-1), ends.reshape(-1))
        return {
            name: (
                Fields(text, starts[row], ends[row]),
                numbers.part(slice(row * count, (row + 1) * count)),
            )
            for row, name in enumerate(names)
        }

    def _column(
        self, name: str, fields: Fields, numbers: Numbers | None
    ) -> tuple[NDArray[np.float64], Mask | None]:
        """Return the codes of a column, and which of its fields are refused, None for none."""
        feature = self._features[name]
        missing = fields.starts == fields.ends
        if numbers is None:
            values = self._tokens[name].find(fields.text, fields.starts, fields.ends)
            bad = values < 0
        else:
            column = Column("number", missing, fields.at, numbers=known(numbers, fields, feature))
            values, bad = feature.kind.codes(feature, column)
        if not bad.any() and not missing.any():
            return values, None
        if numbers is not None:
            values[bad] = 0  # what does not fit float32 would warn
        if self._missing is not None and bad.any():
            at = np.flatnonzero(bad)
            words = self._missing.find(fields.text, fields.starts[at], fields.ends[at])
            missing[at] |= words >= 0
        if missing.any():
            values[missing] = missing_code(feature)
            bad = bad & ~missing if feature.optional else bad | missing
        return values, bad

    def _keys(self, fields: Fields) -> tuple[list[str | None], Mask]:
        """Return the caller's own key of each row, and which of them are refused."""
        texts = [fields.at(row) for row in range(len(fields.starts))]
        missing = {"", *self._contract.missing}
        keys = [None if text in missing else key_text(text) for text in texts]
        wrong = (key is None and text not in missing for key, text in zip(keys, texts, strict=True))
        return keys, np.fromiter(wrong, dtype=np.bool_, count=len(texts))

    def _look_at(
        self,
        padded: bytes,
        lines: tuple[int, Integers],
        rows: Rows,
        refused: Integers,
        faults: Faults,
    ) -> None:
        """Look at the refused rows one by one; what is right after all gets its codes.

        `refused` of shape (n_rows,) counts the refused fields of each row.
        """
        first, ends = lines
        for row in np.flatnonzero(refused).tolist():
            if not faults.explaining:
                faults.count(row, int(refused[row]))
                continue
            start = first if row == 0 else ends[row - 1]
            try:
                rows.matrix[row] = self._records.codes(padded[start + 1 : ends[row]])
            except InvalidInputError as error:
                faults.explain(row, error.problems)


def known_texts(feature: Feature, missing: Collection[str]) -> dict[str, float]:
    """Return the code of each text that says a value and does not say that there is none."""
    spellings = feature.kind.spellings(feature).items()
    return {text: code for text, code in spellings if text not in missing}


def known(numbers: Numbers, fields: Fields, feature: Feature) -> NDArray[np.float64]:
    """Return the numbers of a column: such that their float32 is exact, NaN for no number."""
    if not numbers.unknown.any() and not numbers.near.any():
        return numbers.values
    unclear = numbers.unknown & (fields.starts != fields.ends)
    if numbers.near.any():
        unclear |= numbers.near & doubtful(numbers, feature)
    for row in np.flatnonzero(unclear).tolist():
        number = number_of(fields.at(row))
        numbers.values[row] = np.nan if isinstance(number, str) else number
    return numbers.values


def doubtful(numbers: Numbers, feature: Feature) -> Mask:
    """Tell which numbers that are nearly known could be another float32, or break a bound."""
    if feature.kind.whole:
        return numbers.near
    values = numbers.values
    with np.errstate(over="ignore"):
        low, high = ((values * (1 + side)).astype(np.float32) for side in (-DOUBT, DOUBT))
    doubt: Mask = low != high
    for bound in feature.kind.bounds(feature):
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
