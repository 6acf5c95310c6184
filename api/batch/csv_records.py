"""A chunk of CSV → rows, record by record: for what is quoted, and to say what is wrong."""

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial

from api.batch.rows import Contract, Rows
from api.contract.validation import MAX_PROBLEMS
from treeline.contract.encoding import Record
from treeline.contract.features import Value
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
                record[name] = feature.kind.said(text)
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
