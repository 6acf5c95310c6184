"""JSON lines, a list of records or an object of columns → rows, held against the contract."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json

from api.batch.rows import Contract, Rows, check_header
from api.contract.validation import explain
from api.errors import MalformedBodyError
from treeline.artifact.encoding import Record, codes, missing_code
from treeline.errors import InvalidInputError, Problem


class JsonRecords:
    """Reads records of one model."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._list = contract.list_validator

    def lines(self, chunk: bytes, *, first: int) -> Rows:
        """Return the rows of JSON lines, the first of which has this number; blank ones count not.

        Joined they are one list, read at once: a newline remains between them, which no text of
        JSON may hold, so a record cannot go over the end of its line.
        """
        listed = [(first + at, line) for at, line in enumerate(chunk.split(b"\n")) if line.strip()]
        numbers = [number for number, _ in listed]
        found = None
        if all(line.strip()[:1] == b"{" and line.strip()[-1:] == b"}" for _, line in listed):
            found = self._together(b"[%b]" % b",\n".join(line for _, line in listed))
        if found is not None and len(found) == len(listed):
            return Rows(self._matrix(found), np.array(numbers, dtype=np.int64))
        return self._contract.rows([partial(self._line, line) for _, line in listed], numbers)

    def whole(self, body: bytes, *, first: int) -> Rows:
        """Return the rows of a whole body; raises MalformedBodyError and InvalidInputError."""
        found = self._together(body)
        if found is not None:
            return Rows(self._matrix(found), np.arange(first, first + len(found)))
        try:
            document = from_json(body)
        except ValueError as error:
            raise MalformedBodyError(f"The body is not JSON: {error}") from error
        if isinstance(document, Mapping):
            document = list(self._rows_of(document))
        if not isinstance(document, list):
            wanted = "a list of records, or an object with a list for each column"
            raise InvalidInputError([Problem("body", f"is not a table; give {wanted}")])
        calls = [partial(self._contract.codes, record) for record in document]
        return self._contract.rows(calls, range(first, first + len(document)))

    def _together(self, body: bytes) -> list[Record] | None:
        try:
            found: list[Record] = self._list.validate_json(body)
            return found
        except ValidationError:
            return None

    def _line(self, line: bytes) -> list[float]:
        try:
            record = self._contract.validator.validate_json(line)
        except ValidationError as error:
            raise explain(error, self._contract.features) from error
        return self._contract.encoder.row(record)

    def _matrix(self, records: list[Record]) -> Any:
        """Return the codes of checked records, column by column."""
        matrix = np.empty((len(records), len(self._contract.features)), dtype=np.float32)
        for place, (name, feature) in enumerate(self._contract.features.items()):
            values: list[Any] = [record.get(name) for record in records]
            if feature.categories:
                code_of: dict[Any, float] = {**codes(feature), None: missing_code(feature)}
                matrix[:, place] = list(map(code_of.__getitem__, values))
                continue
            if feature.optional:
                missing = missing_code(feature)
                values = [missing if value is None else value for value in values]
            matrix[:, place] = np.array(values, dtype=np.float64)
        return matrix

    def _rows_of(self, columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the records of columns; raises InvalidInputError where they make no table."""
        check_header(list(columns), self._contract.features, place="")
        problems = [
            Problem(name, "is not a list; give the values of the column, one for each row")
            for name, values in columns.items()
            if not isinstance(values, list)
        ]
        lengths = {name: len(each) for name, each in columns.items() if isinstance(each, list)}
        if not problems and len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            text = f"the columns are not equally long: {told}"
            problems.append(Problem("body", text))
        if problems:
            raise InvalidInputError(problems)
        records = zip(*columns.values(), strict=True)
        return (dict(zip(*pair, strict=True)) for pair in zip(repeat(list(columns)), records))
