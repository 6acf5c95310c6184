"""Arrow and Parquet ↔ rows and answers; needs the extra `arrow`, and is reached by name only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from api.batch.answers import ERROR, Answered, columns
from api.batch.rows import Bad, Contract, Rows, check_header, within
from api.errors import MalformedBodyError
from treeline.artifact.encoding import codes, missing_code
from treeline.artifact.features import Feature
from treeline.artifact.signature import Signature
from treeline.errors import InvalidInputError, Problem

PART_ROWS = 65_536
WANTED = {
    "category": "text, or text by dictionary",
    "boolean": "booleans",
    "integer": "whole or floating numbers",
    "number": "whole or floating numbers",
}


READINGS: dict[str, "Reading"] = {}  # by path, while the file is there


class ArrowTable:
    """Reads parts of a table that was spooled to a file, and keeps its place between them."""

    def __init__(self, path: str, kind: str) -> None:
        """Open a file; raises MalformedBodyError when it is no such table."""
        self._path, self._kind = path, kind
        try:
            self._parts = self._opened()
        except (pa.ArrowException, OSError) as error:
            raise self._malformed(error) from error

    def inspect(self, contract: Contract) -> None:
        """Check names and types of the columns; raises InvalidInputError."""
        check_header(self.schema.names, contract.features, place="")
        problems = [
            Problem(field.name, f"holds {field.type}; give {WANTED[feature.type]}")
            for field in self.schema
            if not fits(field.type, feature := contract.features[field.name])
        ]
        if problems:
            raise InvalidInputError(problems)

    def part(self) -> Any:
        """Return the next rows as a record batch, or None at the end; raises MalformedBodyError."""
        try:
            return next(self._parts, None)
        except (pa.ArrowException, OSError) as error:
            raise self._malformed(error) from error

    def _opened(self) -> Iterator[Any]:
        if self._kind == "parquet":
            file = pq.ParquetFile(self._path)
            self.schema = file.schema_arrow
            return iter(file.iter_batches(batch_size=PART_ROWS))
        reader = pa.ipc.open_stream(pa.memory_map(self._path))
        self.schema = reader.schema
        return (
            batch.slice(start, PART_ROWS)
            for batch in reader
            for start in range(0, batch.num_rows, PART_ROWS)
        )

    def _malformed(self, error: Exception) -> MalformedBodyError:
        name = {"parquet": "Parquet", "arrow": "an Arrow stream"}[self._kind]
        return MalformedBodyError(f"The body is not {name}: {str(error)[:200]}")


class Reading:
    """A table, and how far it has been read."""

    def __init__(self, path: str, kind: str) -> None:
        self._table = ArrowTable(path, kind)
        self.parts = self._rows = 0

    def part(self) -> tuple[int, Any]:
        """Return the number of the next row, and rows from there on, or None at the end."""
        first, batch = self._rows, self._table.part()
        self.parts += 1
        self._rows += 0 if batch is None else batch.num_rows
        return first, batch


def inspect(path: str, kind: str, contract: Contract) -> None:
    """Check a table's columns; raises MalformedBodyError and InvalidInputError."""
    ArrowTable(path, kind).inspect(contract)


def read(path: str, kind: str, contract: Contract, *, part: int) -> Rows | None:
    """Return the rows of one part of a table, or None past its end; raises MalformedBodyError.

    Parts are mostly asked for in their order, and then read on from where the last one ended.
    """
    for gone in [other for other in READINGS if not Path(other).exists()]:
        READINGS.pop(gone, None)
    reading = READINGS.pop(path, None)
    if reading is None or reading.parts > part:
        reading = Reading(path, kind)
    while reading.parts < part:
        reading.part()
    first, batch = reading.part()
    if batch is None:
        return None
    READINGS[path] = reading
    return rows_of(batch, contract, first=first)


def fits(kind: Any, feature: Feature) -> bool:
    """Tell whether a column of this type can hold a feature."""
    if pa.types.is_null(kind):
        return True
    if feature.type == "category":
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        return any(is_text(inner) for is_text in (pa.types.is_string, pa.types.is_large_string))
    if feature.type == "boolean":
        return bool(pa.types.is_boolean(kind))
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def rows_of(batch: Any, contract: Contract, *, first: int) -> Rows:
    """Return the rows of a record batch whose first has the number `first`."""
    count = batch.num_rows
    matrix = np.empty((count, len(contract.features)), dtype=np.float32)
    refused = np.zeros(count, dtype=np.bool_)
    there = set(batch.schema.names)
    for place, (name, feature) in enumerate(contract.features.items()):
        if name not in there:
            matrix[:, place] = missing_code(feature)
            continue
        matrix[:, place], bad = column(batch.column(name), feature)
        refused |= bad
    bad_rows: Bad = {}
    for row in np.flatnonzero(refused).tolist():
        (record,) = batch.slice(row, 1).to_pylist()
        present = {
            name: value
            for name, value in record.items()
            if value is not None or contract.features[name].optional
        }
        try:
            matrix[row] = contract.codes(present)
        except InvalidInputError as error:
            bad_rows[row] = error.problems
    return Rows(matrix, np.arange(first, first + count), bad_rows)


def column(array: Any, feature: Feature) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the codes of a column, and which of its values are refused."""
    missing = np.asarray(array.is_null())
    if pa.types.is_null(array.type):
        values = np.zeros(len(array))
        bad = missing.copy()
    elif feature.type == "category":
        values = category_codes(array, feature)
        bad = values < 0
    else:
        numbers = pc.fill_null(array, False if feature.type == "boolean" else 0)
        values = np.asarray(numbers.cast(pa.float64(), safe=False)).copy()
        bad = ~within(values, feature)
        values[bad] = 0
    if missing.any():
        values[missing] = missing_code(feature)
        bad = bad & ~missing if feature.optional else bad | missing
    return values, bad


def category_codes(array: Any, feature: Feature) -> NDArray[np.float64]:
    """Return the code of each text, -1 for one that is no category."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    known = codes(feature)
    table = np.array([known.get(text, -1.0) for text in array.dictionary.to_pylist()] + [-1.0])
    places = np.asarray(pc.fill_null(array.indices.cast(pa.int64()), len(table) - 1))
    found: NDArray[np.float64] = table[places]
    return found


class ArrowForm:
    """Rows as record batches of a stream; the same parts make a Parquet file."""

    def __init__(self, signature: Signature, *, batch_id: str, reporting: bool) -> None:
        """Write rows of one batch; `reporting` adds what is wrong with bad ones."""
        self._signature = signature
        self._batch_id = batch_id
        classes = signature.classes
        self._classes = pa.array(classes or [0.0])
        names, types = (
            columns(signature),
            {name: pa.string() for name in ("id", "model", "version")},
        )
        fields = [(name, types.get(name, pa.float32())) for name in names]
        fields[0] = (names[0], self._classes.type if classes else pa.float32())
        self._schema = pa.schema([*fields, *([(ERROR, pa.string())] if reporting else [])])

    def head(self) -> bytes:
        """Return the schema of the stream."""
        return bytes(self._schema.serialize())

    def written(self, found: Answered, numbers: NDArray[np.int64], bad: dict[int, str]) -> bytes:
        """Return all rows in their order; `found` is of the good ones alone."""
        count = len(numbers)
        if not count:
            return b""
        places = pa.array(np.arange(count))
        if bad:
            good = np.ones(count, dtype=np.bool_)
            good[list(bad)] = False
            order = np.cumsum(good) - 1
            places = pa.array(order, mask=~good)
            numbers = numbers[good]
        each = [self._target(found), *(pa.array(share) for share in found.shares.values())]
        each += [self._ids(numbers)]
        own = (self._signature.name, self._signature.version)
        each += [pa.repeat(pa.scalar(text), len(numbers)) for text in own]
        if bad:
            each = [array.take(places) for array in each]
        if ERROR in self._schema.names:
            each.append(pa.array([bad.get(at) for at in range(count)], pa.string()))
        return bytes(pa.record_batch(each, schema=self._schema).serialize())

    def _target(self, found: Answered) -> Any:
        if found.labels is None:
            return pa.array(found.values, pa.float32())
        return self._classes.take(pa.array(found.labels))

    def _ids(self, numbers: NDArray[np.int64]) -> Any:
        return pc.binary_join_element_wise(self._batch_id, pa.array(numbers).cast(pa.string()), "-")


def to_parquet(stream: Path, target: Path) -> None:
    """Write the record batches of a finished stream as a Parquet file, a part at a time."""
    with pa.memory_map(str(stream)) as source:
        reader = pa.ipc.open_stream(source)
        with pq.ParquetWriter(target, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
