"""A CSV or Parquet file → tables."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import csv, parquet

from treeline.config.sources import Delimited
from treeline.errors import SourceError

BATCH_ROWS = 500_000
FORMATS = (".csv", ".parquet")


def format_of(name: str) -> str:
    """Return `.csv` or `.parquet` for the name of a file or the path of a URL."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in FORMATS:
        found = f"{suffix!r} is no format that is read" if suffix else "it has no suffix"
        raise SourceError(f"{name}: {found}; give a file that ends in {' or '.join(FORMATS)}")
    return suffix


def read_tables(path: Path, *, suffix: str, spec: Delimited, name: str) -> Iterator[pa.Table]:
    """Yield the rows of a file, at least one table; raises SourceError.

    `name` is what a person calls the file, for the message. CSV is UTF-8, with or without a byte
    order mark, with any line ends; the type of a column is told from all of its values: a column
    of numbers and other things is text, and so is one declared `text` under `columns`.
    """
    try:
        if suffix == ".csv":
            yield _csv(path, spec)
        else:
            yield from _parquet(path)
    except FileNotFoundError:
        raise SourceError(
            f"{name}: not found; fetch it with `dvc pull {name}`, or bring it in with `make adopt`"
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{name}: its header is not UTF-8; save the file as UTF-8") from error
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(
            f"{name}: cannot be read as {suffix[1:]}: {error}; correct or replace the file"
        ) from error


def _csv(path: Path, spec: Delimited) -> pa.Table:
    texts = [column for column, kind in spec.columns.items() if kind == "text"]
    options = csv.ConvertOptions(
        null_values=list(spec.missing),
        strings_can_be_null=True,
        column_types=dict.fromkeys(texts, pa.string()),
    )
    layout = csv.ParseOptions(delimiter=spec.delimiter, newlines_in_values=True)
    try:
        table = csv.read_csv(path, parse_options=layout, convert_options=options)
    except pa.ArrowInvalid:  # read again on one thread, which can number the row
        one = csv.ReadOptions(use_threads=False)
        table = csv.read_csv(path, read_options=one, parse_options=layout, convert_options=options)
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if pa.types.is_binary(kind):
            raise SourceError(f"column {name!r} is not UTF-8; save the file as UTF-8")
    return table


def _parquet(path: Path) -> Iterator[pa.Table]:
    """Yield batches without pandas' metadata, which would bring back an index of its own."""
    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow.remove_metadata()
        yield schema.empty_table()
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
