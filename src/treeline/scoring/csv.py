"""A CSV → the columns that a model needs, as text, read as the rows it learnt from were read."""

from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from treeline.artifact.store import Model
from treeline.errors import DataError
from treeline.scoring.reading import check_names

CSV = ".csv"
BLOCK_BYTES = 8 << 20


def csv_rows(file: Path, model: Model, keep: tuple[str, ...]) -> Generator[pa.RecordBatch]:
    """Yield the columns needed, after an empty batch of them; raises DataError.

    Fields are text, so that one that is no number is a bad row and not the end of all; what is
    empty or a word of the signature for a missing value is null.
    """
    signature = model.signature
    layout = csv.ParseOptions(newlines_in_values=True)
    names = _header(file)
    try:
        check_names(names, signature.features, keep=keep)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    wanted = {*signature.features, *keep}
    schema = pa.schema([(name, pa.string()) for name in names if name in wanted])
    yield pa.RecordBatch.from_pylist([], schema)
    options = csv.ConvertOptions(
        include_columns=schema.names,
        column_types=schema,
        null_values=["", *signature.missing],
        strings_can_be_null=True,
    )
    blocks = csv.ReadOptions(block_size=BLOCK_BYTES)
    with csv.open_csv(
        file, read_options=blocks, parse_options=layout, convert_options=options
    ) as reader:
        yield from reader


def _header(file: Path) -> list[str]:
    layout = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(file, parse_options=layout) as reader:
        names: list[str] = reader.schema.names
        return names
