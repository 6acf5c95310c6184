"""Arrow and Parquet: rows from a stream, answers as a stream.

It needs the extra `arrow`, and is reached by name only. Lengths are checked before the library
takes memory for them, and every batch is validated in full before it is read: a buffer that is
shorter than its rows need would be read beyond its end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from api.contract.faults import Faults
from api.errors import MalformedBodyError
from api.formats import explained as explanations
from api.formats.answers import ERROR, Answered, columns
from api.formats.arrow_lengths import Lengths, schema_of, too_many_rows, walked
from api.formats.explained import Explained
from api.formats.rows import Contract, Rows, Table, check_columns, check_header
from treeline.contract.admission import admit
from treeline.contract.arrow import column_of, misfit
from treeline.contract.features import key_text
from treeline.contract.problems import key_problem
from treeline.contract.signature import Signature
from treeline.errors import InvalidInputError, Problem

FOOTER_BYTES = 16 << 20  # of a Parquet file; some hundred bytes for a column of a row group
LENGTH_BYTES, MAGIC = 4, b"PAR1"
MOST_ITEMS = 20_000  # of one list in a footer: row groups, or columns
BY_DICTIONARY = frozenset({"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
BUFFER_BYTES = 1 << 20
NAMES = {"parquet": "Parquet", "arrow": "an Arrow stream"}
# What the library raises: its own errors, and for a name or a text that is no UTF-8 Python's.
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)


def prepare() -> None:
    """Start the threads of the library, which are limited later.

    It has one for reading and one for computing from its first use on.
    """
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    table = pa.table({"text": pa.array(["a", "b"]), "number": pa.array([1.0, None])})
    for compression in ("none", "zstd", "snappy"):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression=compression)
        file = pq.ParquetFile(pa.BufferReader(sink.getvalue()), read_dictionary=["text"])
        list(file.iter_batches(use_threads=True))
    for packing in ("zstd", "lz4"):
        stream = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=packing)
        with pa.ipc.new_stream(stream, table.schema, options=options) as written:
            written.write_table(table)
        pa.ipc.open_stream(stream.getvalue()).read_all().validate(full=True)


def inspect(table: Table, contract: Contract, *, extra: str) -> None:
    """Check lengths and columns; raises MalformedBodyError, InvalidInputError, BodyTooLargeError.

    Nothing but the schema is read of an Arrow stream, nothing but the footer of a Parquet file.
    """
    try:
        if table.kind == "parquet":
            check_columns(footer(table).metadata.num_columns, contract.features, place="body")
            check_schema(footer(table).schema_arrow, contract, extra=extra)
            return
        schema_of(walked(table.source()))
        schema = pa.ipc.open_stream(opened(table)).schema
        check_columns(len(schema), contract.features, place="body")
        check_schema(schema, contract, extra=extra)
    except pa.ArrowMemoryError:
        raise
    except UNREADABLE as error:
        raise malformed(table, error) from error
    lengths(table).check()


def rows(table: Table, contract: Contract, *, most_explained: int) -> Iterator[Rows]:
    """Yield the rows of a table, so many at a time; raises MalformedBodyError.

    What is wrong is said of at most `most_explained` rows each time.
    """
    first = 1
    try:
        for batch in batches(table):
            batch.validate(full=True)
            yield rows_of(batch, contract, first=first, most_explained=most_explained)
            first += batch.num_rows
    except pa.ArrowMemoryError:
        raise
    except UNREADABLE as error:
        raise malformed(table, error) from error


def batches(table: Table) -> Iterator[Any]:
    """Yield record batches of at most so many rows; raises what the library raises."""
    most = table.part_rows
    if table.kind == "arrow":
        lengths(table).check()
        for batch in pa.ipc.open_stream(opened(table)):
            batch.validate(full=True)  # before it is cut, which hides what lies outside of the cut
            yield from (batch.slice(start, most) for start in range(0, batch.num_rows, most))
        return
    file = footer(table)
    yield from file.iter_batches(batch_size=adapted(file.metadata, table), use_threads=False)


def lengths(table: Table) -> Lengths:
    """Return what checks the lengths of an Arrow stream."""
    return Lengths(table.source(), most_rows=table.most_rows, most_bytes=table.memory_bytes // 2)


def footer(table: Table) -> Any:
    """Return a Parquet file of which only the footer is read; raises MalformedBodyError.

    Texts come as a dictionary: one that stands in many rows is in memory once.
    """
    source = table.source()
    end = source.at(max(source.size - LENGTH_BYTES - len(MAGIC), 0), LENGTH_BYTES + len(MAGIC))
    size = int.from_bytes(end[:LENGTH_BYTES], "little")
    if not end.endswith(MAGIC) or not 0 < size <= min(FOOTER_BYTES, source.size):
        raise malformed(
            table, ValueError(f"it ends with no footer of at most {FOOTER_BYTES} bytes")
        )
    options = {
        "pre_buffer": False,
        "buffer_size": BUFFER_BYTES,
        "thrift_container_size_limit": MOST_ITEMS,
        "thrift_string_size_limit": FOOTER_BYTES,
        "arrow_extensions_enabled": False,
    }
    file = pq.ParquetFile(opened(table), **options)
    if not 0 <= file.metadata.num_rows <= table.most_rows:
        raise too_many_rows(table.most_rows)
    if file.metadata.num_columns > MOST_ITEMS:
        return file
    texts = [field.name for field in file.schema_arrow if is_text(field.type)]
    encoded = texts_by_dictionary(file.metadata, texts)
    return pq.ParquetFile(opened(table), metadata=file.metadata, read_dictionary=encoded, **options)


def texts_by_dictionary(metadata: Any, texts: list[str]) -> list[str]:
    """Return the columns of text that the library reads as a dictionary, by their encodings."""
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(metadata.num_columns)]
    others = {
        each.path_in_schema for each in columns if not BY_DICTIONARY.issuperset(each.encodings)
    }
    return [name for name in texts if name not in others]


def adapted(metadata: Any, table: Table) -> int:
    """Return how many rows of a Parquet file are read at once: fewer where they are long.

    The sizes are claims of the file; the limit of the process holds where they are false.
    """
    sizes = (metadata.row_group(place) for place in range(metadata.num_row_groups))
    longest = max((each.total_byte_size / max(each.num_rows, 1) for each in sizes), default=1)
    return int(max(1, min(table.part_rows, table.memory_bytes / 8 / max(longest, 1))))


def opened(table: Table) -> Any:
    """Return the bytes of a table as the library reads them."""
    if table.payload:
        return pa.BufferReader(pa.py_buffer(table.payload))
    return pa.OSFile(table.path)


def malformed(table: Table, error: Exception) -> MalformedBodyError:
    """Return the error to raise for a body that is no such table."""
    return MalformedBodyError(f"The body is not {NAMES[table.kind]}: {str(error)[:200]}")


def check_schema(schema: Any, contract: Contract, *, extra: str) -> None:
    """Check names and types of the columns; raises InvalidInputError."""
    check_header(schema.names, contract.signature, place="", extra=extra)
    problems = [
        Problem(field.name, wrong)
        for field in schema
        if field.name in contract.features
        and (wrong := misfit(field.type, contract.features[field.name]))
    ]
    key = contract.key
    if key is not None and key in schema.names and not fits_key(schema.field(key).type):
        kind = str(schema.field(key).type)[:80]
        problems.append(Problem(key, f"holds {kind}; give text or whole numbers"))
    if problems:
        raise InvalidInputError(problems)


def fits_key(kind: Any) -> bool:
    """Tell whether a column of this type can hold keys; of floats, those that are whole."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_null, pa.types.is_integer, pa.types.is_floating, is_text)
    return any(test(inner) for test in tests)


def is_text(kind: Any) -> bool:
    """Tell whether values of this type are texts with offsets."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def rows_of(batch: Any, contract: Contract, *, first: int, most_explained: int) -> Rows:
    """Return the rows of a record batch whose first has the number `first`."""
    count, there = batch.num_rows, set(batch.schema.names)
    ignored = tuple(name for name in batch.schema.names if name not in contract.names)
    columns = {name: column_of(batch.column(name)) for name in contract.features if name in there}
    admission = admit(columns, contract.features, n_rows=count)
    refused = admission.counts()
    keys: list[str | None] | None = None if contract.key is None else [None] * count
    wrong_keys: dict[int, object] = {}
    if contract.key in there:
        given = batch.column(contract.key).to_pylist()
        keys = [key_text(value) for value in given]
        wrong_keys = {
            row: value
            for row, (value, key) in enumerate(zip(given, keys, strict=True))
            if value is not None and key is None
        }
        refused[list(wrong_keys)] += 1
    faults = Faults(most_explained)
    for row in np.flatnonzero(refused).tolist():
        if not faults.explaining:
            faults.count(row, int(refused[row]))
            continue
        problems = admission.problems(row)
        if row in wrong_keys:
            problems.append(key_problem(str(contract.key), wrong_keys[row]))
        faults.explain(row, problems)
    numbers = np.arange(first, first + count)
    return Rows(admission.matrix, numbers, faults.by_row, ignored, keys)


class ArrowForm:
    """Rows as record batches of a stream; the same parts make a Parquet file."""

    def __init__(
        self, signature: Signature, *, batch_id: str, reporting: bool, explaining: bool = False
    ) -> None:
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
        if explaining:
            more = dict.fromkeys(explanations.columns(signature), pa.float64())
            more |= dict.fromkeys(explanations.TEXTS, pa.string())
            if classes:
                more[explanations.OF_CLASS] = self._classes.type
            fields += more.items()
        self._schema = pa.schema([*fields, *([(ERROR, pa.string())] if reporting else [])])

    def head(self) -> bytes:
        """Return the schema of the stream."""
        return bytes(self._schema.serialize())

    def written(self, answered: Answered, numbers: NDArray[np.int64], bad: dict[int, str]) -> bytes:
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
        each = [self._target(answered), *(pa.array(share) for share in answered.shares.values())]
        each += [self._ids(numbers)]
        own = (self._signature.name, self._signature.version)
        each += [pa.repeat(pa.scalar(text), len(numbers)) for text in own]
        if answered.explained is not None:
            each += self._explained(answered.explained)
        if bad:
            each = [array.take(places) for array in each]
        if ERROR in self._schema.names:
            each.append(pa.array([bad.get(at) for at in range(count)], pa.string()))
        return bytes(pa.record_batch(each, schema=self._schema).serialize())

    def _explained(self, explained: Explained) -> list[Any]:
        """Return the columns that say how answers came about."""
        count = len(explained)
        each = [self._classes.take(pa.array(explained.classes))] if self._signature.classes else []
        each += [pa.repeat(pa.scalar(text), count) for text in (explained.scale, explained.method)]
        for column in explanations.numbers(explained):
            each.append(pa.nulls(count, pa.float64()) if column is None else pa.array(column))
        return each

    def _target(self, answered: Answered) -> Any:
        if answered.labels is None:
            return pa.array(answered.values, pa.float32())
        return self._classes.take(pa.array(answered.labels))

    def _ids(self, numbers: NDArray[np.int64]) -> Any:
        return pc.binary_join_element_wise(self._batch_id, pa.array(numbers).cast(pa.string()), "-")


def to_parquet(stream: Path, target: Path) -> None:
    """Write the record batches of a finished stream as a Parquet file, a part at a time."""
    with pa.OSFile(str(stream)) as source:
        reader = pa.ipc.open_stream(source)
        with pq.ParquetWriter(target, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
