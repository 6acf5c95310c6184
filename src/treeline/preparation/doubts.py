"""What a file without types may mean otherwise than it is read: said when rows are prepared.

`1.234` is a number a little above one, and in other countries one thousand two hundred and
thirty-four. Where every value of a column is written so, nobody can tell but its author.
"""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from treeline.config.models import ModelSpec
from treeline.contract.features import Feature

THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2}\.[0-9]{3}\s*$"
FEW = 10  # with fewer values, that all have three digits after a dot is no wonder
BATCH_ROWS = 131_072


def doubts(raw: Path, spec: ModelSpec) -> list[str]:
    """Return a text for each column of numbers that may be whole thousands.

    Bounds can tell: there is no doubt where a thousand times as much is not admitted.
    """
    if not spec.source.untyped:
        return []
    types = {field.name: field.type for field in parquet.read_schema(raw)}
    return [
        f"column {name!r}: every value has three digits after one dot, such as {example}; it is "
        "read as a decimal number; if the dot separates thousands, take it away in the source, and "
        f"if not, `features.{name}.maximum` below {_thousandfold(example):g} says so"
        for name, feature in spec.features.items()
        if feature.type == "number" and _is_text(types.get(name))
        if (example := _example(raw, name, feature)) is not None
    ]


def _example(raw: Path, name: str, feature: Feature) -> str | None:
    """Return the first value of a column all of whose values may be thousands."""
    first, count = None, 0
    with parquet.ParquetFile(raw) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
            column = batch.column(0).drop_null()
            if not pc.all(pc.match_substring_regex(column, THOUSANDS), min_count=0).as_py():
                return None
            count += len(column)
            if first is None and len(column):
                first = column[0].as_py().strip()
    if first is None or count < FEW or not feature.admits(_thousandfold(first)):
        return None
    return str(first)


def _thousandfold(text: str) -> float:
    return float(re.sub(r"\.", "", text))


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
