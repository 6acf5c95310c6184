"""A chunk of CSV → rows, record by record: for what is quoted, and to say what is wrong."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import partial

from api.batch.rows import Contract, Rows
from treeline.artifact.features import Feature, Value
from treeline.errors import InvalidInputError, Problem

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BOOLEANS = {
    spelt: float(value)
    for value, text in ((True, "true"), (False, "false"))
    for spelt in (text, text.capitalize(), text.upper())
}


class CsvRecords:
    """Reads chunks of one CSV file, whose header names these columns."""

    def __init__(self, contract: Contract, names: Sequence[str]) -> None:
        self._contract = contract
        self._names = names

    def read(self, chunk: bytes, *, first: int) -> Rows:
        """Return the rows of a chunk whose first line has the number `first`; blank ones count not.

        A chunk with a quote that is left open ends in a row that is bad.
        """
        numbered = list(lines(chunk.decode(errors="replace"), first=first))
        calls = [partial(self._codes, texts) for _, texts in numbered]
        return self._contract.rows(calls, [number for number, _ in numbered])

    def codes(self, line: bytes) -> list[float]:
        """Return the codes of one row; raises InvalidInputError."""
        ((_, texts),) = lines(line.decode(errors="replace"), first=0)
        return self._codes(texts)

    def _codes(self, texts: list[str] | str) -> list[float]:
        if isinstance(texts, str):
            raise InvalidInputError([Problem("", texts)])
        if len(texts) != len(self._names):
            text = f"has {len(texts)} fields, and the header has {len(self._names)}"
            raise InvalidInputError([Problem("", text)])
        record = {}
        for name, text in zip(self._names, texts, strict=True):
            feature = self._contract.features[name]
            if text:
                record[name] = value_of(text, feature)
        return self._contract.codes(record)


def lines(text: str, *, first: int) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the number of the line on which each row begins, and its fields or what is wrong."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = first
    while True:
        fields: list[str] | str
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fields = f"is no row of CSV: {error}"
        if fields:
            yield begins, fields
        begins = first + reader.line_num


def value_of(text: str, feature: Feature) -> Value:
    """Return what a field says; where it is not of the feature's type, its text."""
    if feature.type == "category":
        return text
    if feature.type == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return number_of(text)


def number_of(text: str) -> float | str:
    """Return the number that a field says, or its text where it is none."""
    bare = text.strip(" \t")
    return float(bare) if NUMBER.fullmatch(bare) else text
