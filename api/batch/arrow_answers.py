"""Answers → record batches of an Arrow stream, and from that Parquet; reached by name only."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from api.batch.answers import ERROR, Answered, columns
from treeline.contract.signature import Signature


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
    with pa.OSFile(str(stream)) as source:
        reader = pa.ipc.open_stream(source)
        with pq.ParquetWriter(target, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
