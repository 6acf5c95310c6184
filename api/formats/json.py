"""JSON lines, records of a list or an object of columns become rows, checked by the contract.

A list is cut between its elements as its pieces arrive, and no element is read for that. Only
brackets, commas and quotes are looked at, of all bytes of a piece at once: what is between two
commas outside of any bracket but the first is an element, whatever it says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json

from api.contract.faults import BODY, MAX_PROBLEMS
from api.contract.schemas import ignored_of
from api.errors import BodyTooLargeError, MalformedBodyError
from api.formats.rows import Contract, Payload, Rows, check_header
from treeline.contract.encoding import Record, codes, missing_code
from treeline.contract.features import KEY_CHARACTERS
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem

# What values take in memory at most, beside their own characters: numbers, objects, texts.
VALUE_BYTES, OBJECT_BYTES, TEXT_BYTES = 32, 72, 64
PANIC = "PanicException"  # no Exception: what pydantic raises where there is no memory
TABLE = "a list of records, or an object with a list for each column"


class JsonRecords:
    """Reads records of one model; what is wrong is said of so many rows of each part."""

    def __init__(self, contract: Contract, *, most_explained: int, extra: str = "auto") -> None:
        """Take `extra`, what becomes of keys that are no features."""
        self._contract, self._extra = contract, extra
        self._ignored: dict[str, None] = {}
        self._most_keys = len(contract.names) + MAX_PROBLEMS
        self._colons = colons_of(contract.signature)
        self._list = contract.list_validator
        self._most_explained = most_explained

    def lines(self, chunk: bytes, *, first: int) -> Rows:
        """Return the rows of JSON lines, the first of which has this number; blank ones count not.

        Joined they are one list, read at once: a newline remains between them, which no text of
        JSON may hold, so a record cannot go over the end of its line.
        """
        filled_lines = (line for line in chunk.split(b"\n") if line.strip())
        listed = list(enumerate(filled_lines, first))
        records = None
        usual = chunk.count(b":") <= len(listed) * self._colons
        if usual and all(
            line.strip()[:1] == b"{" and line.strip()[-1:] == b"}" for _, line in listed
        ):
            records = self._together(b"[%b]" % b",\n".join(line for _, line in listed))
        if records is not None and len(records) == len(listed):
            numbers = [number for number, _ in listed]
            return self._rows(records, np.array(numbers, dtype=np.int64))
        return self._with_ignored(
            self._contract.rows(
                ((number, partial(self._line, line)) for number, line in listed),
                most_explained=self._most_explained,
            )
        )

    def elements(self, chunk: bytes, *, first: int) -> Rows:
        """Return the rows of some elements of a list; raises MalformedBodyError."""
        body = b"[%b]" % chunk
        usual = chunk.count(b":") <= chunk.count(b"{") * self._colons
        records = self._together(body) if usual else None
        if records is not None:
            return self._rows(records, np.arange(first, first + len(records)))
        return self._one_by_one(enumerate(parsed(body), first))

    def columns(self, body: Payload, *, part_rows: int, memory_bytes: int) -> Iterator[Rows]:
        """Yield the rows of an object of columns, so many at a time.

        Raises BodyTooLargeError, MalformedBodyError and InvalidInputError.
        """
        check_memory(body, memory_bytes)
        document = parsed(body)
        if not isinstance(document, Mapping):
            raise InvalidInputError([Problem("body", f"is not a table; give {TABLE}")])
        ignored, count = self._length(document)
        self._ignored |= dict.fromkeys(ignored)
        names = [name for name in document if name in self._contract.names]
        for first in range(0, count, part_rows):
            last = min(first + part_rows, count)
            cut = [document[name][first:last] for name in names]
            records = (dict(zip(names, values, strict=True)) for values in zip(*cut, strict=True))
            listed = list(records)
            rows_read = self._checked(listed)
            if rows_read is not None:
                yield self._with_ignored(self._rows(rows_read, np.arange(first + 1, last + 1)))
            else:
                yield self._one_by_one(enumerate(listed, first + 1))

    def _line(self, line: bytes) -> Record:
        if (count := line.count(b":")) > self._colons + MAX_PROBLEMS:
            raise self._too_many(count)
        try:
            return self._contract.validator.validate_json(line)
        except ValidationError as error:
            if all(each["type"] != "extra_forbidden" for each in error.errors(include_url=False)):
                raise
        return self._record(from_json(line))

    def _with_ignored(self, rows: Rows) -> Rows:
        return replace(rows, ignored=tuple(self._ignored)) if self._ignored else rows

    def _one_by_one(self, numbered: Iterator[tuple[int, Any]]) -> Rows:
        return self._with_ignored(
            self._contract.rows(
                ((number, partial(self._record, record)) for number, record in numbered),
                most_explained=self._most_explained,
            )
        )

    def _record(self, record: Any) -> Record:
        if isinstance(record, Mapping) and len(record) > self._most_keys:
            raise self._too_many(len(record))
        contract = self._contract
        if isinstance(record, Mapping) and (
            ignored := ignored_of(record, contract.signature, extra=self._extra)
        ):
            self._note(ignored)
            record = {name: value for name, value in record.items() if name in contract.names}
        return self._contract.validator.validate_python(record)

    def _note(self, ignored: Sequence[str]) -> None:
        """Remember the first keys that were ignored, by name."""
        if len(self._ignored) < MAX_PROBLEMS:
            self._ignored |= dict.fromkeys(ignored)

    def _too_many(self, count: int) -> InvalidInputError:
        """Return the error for a record of many keys, which to refuse one by one takes long."""
        text = f"has {count} keys or thereabouts; this model has {len(self._contract.features)}"
        return InvalidInputError([Problem(BODY, f"{text} features")])

    def _together(self, body: bytes) -> list[Record] | None:
        try:
            records: list[Record] = self._list.validate_json(body)
            return records
        except ValidationError:
            return None

    def _checked(self, records: Sequence[Any]) -> list[Record] | None:
        try:
            checked: list[Record] = self._list.validate_python(records)
            return checked
        except ValidationError:
            return None

    def _rows(self, records: list[Record], numbers: NDArray[np.int64]) -> Rows:
        """Return the rows of checked records, none of them bad."""
        return Rows(self._matrix(records), numbers, keys=self._contract.keys_of(records))

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

    def _length(self, columns: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
        """Return the columns to ignore, and how many rows there are.

        Raises InvalidInputError where the columns make no table.
        """
        signature = self._contract.signature
        ignored = check_header(list(columns), signature, place="", extra=self._extra)
        problems = [
            Problem(name, "is not a list; give the values of the column, one for each row")
            for name, values in columns.items()
            if not isinstance(values, list)
        ]
        lengths = {name: len(each) for name, each in columns.items() if isinstance(each, list)}
        if not problems and len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            problems.append(Problem("body", f"the columns are not equally long: {said}"))
        if problems:
            raise InvalidInputError(problems)
        return ignored, next(iter(lengths.values()), 0)


def colons_of(signature: Signature) -> int:
    """Return how many colons the JSON of a record has at most."""
    features, names = signature.features, signature.record_names
    texts = [text for each in features.values() for text in each.categories]
    own = 0 if signature.key is None else KEY_CHARACTERS
    return len(names) + "".join([*names, *texts]).count(":") + own


def check_memory(body: Payload, most: int) -> None:
    """Raise BodyTooLargeError for a JSON that may take more memory than there is for it."""
    objects, texts = body.count(b"{") + body.count(b"["), body.count(b'"') // 2
    taken = body.count(b",") * VALUE_BYTES + objects * OBJECT_BYTES + texts * TEXT_BYTES
    taken += 2 * len(body)
    if taken > most * 3 // 4:
        raise BodyTooLargeError(
            f"The columns may take {taken} bytes of memory, of {most}; send JSON lines or CSV, "
            "which are read part by part, or raise API_REQUEST_MEMORY_BYTES."
        )


def parsed(body: Payload) -> Any:
    """Return what a JSON says; raises MalformedBodyError."""
    try:
        return from_json(body, cache_strings="keys")
    except ValueError as error:
        raise MalformedBodyError(f"The body is not JSON: {str(error)[:200]}") from error
    except BaseException as error:
        if type(error).__name__ == PANIC:
            raise MemoryError from error
        raise


QUOTE, BACKSLASH, COMMA = b'"\\,'
OPENING, CLOSING = b"[{", b"]}"
BLANK = b" \t\r\n"


class JsonCutter:
    """Cuts a list after its bracket has been taken away."""

    def __init__(self, *, chunk_bytes: int, row_bytes: int, most_rows: int) -> None:
        """Cut chunks of about `chunk_bytes` and at most `most_rows` elements.

        An element longer than `row_bytes` is an error.
        """
        self._chunk_bytes, self._row_bytes, self._most_rows = chunk_bytes, row_bytes, most_rows
        self._parts: list[bytes] = []
        self._size = self._rows = 0
        self._first = 1
        self._depth = 0  # of brackets within the list
        self._quoted = self._escaped = False
        self._ended = False

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a piece; yield the number of its first element and each chunk that is whole by now.

        Raises MalformedBodyError.
        """
        if self._ended:
            check_blank(piece)
            return
        commas, end = self._marks(piece)
        start = 0
        for comma in commas.tolist():
            self._rows += 1
            if self._rows >= self._most_rows or self._size + comma - start >= self._chunk_bytes:
                self._parts.append(piece[start:comma])
                yield self._chunk()
                start = comma + 1
        rest = piece[start : len(piece) if end is None else end]
        self._parts.append(rest)
        self._size += len(rest)
        if end is not None:
            self._ended = True
            check_blank(piece[end + 1 :])
        elif self._size > self._row_bytes + self._chunk_bytes:
            raise MalformedBodyError(
                f"The body is not JSON that can be read: row {self._first + self._rows} is longer "
                f"than {self._row_bytes} bytes."
            )

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is left when the body has ended; raises MalformedBodyError."""
        if not self._ended:
            raise MalformedBodyError("The body is not JSON: its list does not end.")
        first, chunk = self._chunk()
        if chunk.strip(BLANK):
            yield first, chunk
        elif first > 1:
            raise MalformedBodyError("The body is not JSON: its list ends with a comma.")

    def _chunk(self) -> tuple[int, bytes]:
        first, chunk = self._first, b"".join(self._parts)
        self._first += self._rows
        self._parts, self._size, self._rows = [], 0, 0
        return first, chunk

    def _marks(self, piece: bytes) -> tuple[NDArray[np.int64], int | None]:
        """Return where elements end within a piece, and where the list does."""
        text = np.frombuffer(piece, dtype=np.uint8)
        outside = self._outside(text)
        opening, closing = (
            ((text == pair[0]) | (text == pair[1])) & outside for pair in (OPENING, CLOSING)
        )
        depth = np.cumsum(opening.astype(np.int32) - closing, dtype=np.int32) + self._depth
        if len(text):
            self._depth = int(depth[-1])
        commas = np.flatnonzero((text == COMMA) & outside & (depth == 0))
        ends = np.flatnonzero(depth < 0)
        if not len(ends):
            return commas, None
        end = int(ends[0])
        if piece[end : end + 1] != b"]":
            raise MalformedBodyError("The body is not JSON: its list ends with another bracket.")
        return commas[commas < end], end

    def _outside(self, text: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which characters are in no string."""
        quotes = text == QUOTE
        if self._escaped or (text == BACKSLASH).any():
            quotes &= ~self._after_backslash(text)
        inside = (np.cumsum(quotes, dtype=np.uint8) & 1).astype(np.bool_) ^ self._quoted
        if len(text):
            self._quoted = bool(inside[-1])
        return ~inside

    def _after_backslash(self, text: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which characters follow an odd number of backslashes."""
        padded = np.concatenate(([self._escaped], text == BACKSLASH))
        places = np.arange(len(padded))
        last_other = np.maximum.accumulate(np.where(padded, -1, places))
        odd = padded & ((places - last_other) % 2 == 1)
        self._escaped = bool(odd[-1])
        escaped: NDArray[np.bool_] = odd[:-1]
        return escaped


def begins_list(head: bytes) -> bytes | None:
    """Return what comes after the bracket of a list; None where the text is none.

    `head` is the beginning of a body, with more than blanks in it.
    """
    text = head.lstrip(BLANK)
    return text[1:] if text[:1] == b"[" else None


def check_blank(text: bytes) -> None:
    """Raise MalformedBodyError where something comes after the end of a list."""
    if text.strip(BLANK):
        raise MalformedBodyError("The body is not JSON: something comes after its list.")
