"""A CSV or Parquet file → tables."""

import codecs
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import csv, parquet

from treeline.config.sources import Delimited
from treeline.errors import SourceError

BATCH_ROWS = 500_000
FORMATS = (".csv", ".parquet")
# How files begin that people take for CSV; the longer mark comes first.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"PK\x03\x04": "a spreadsheet or a zip file",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old",
    b"\x1f\x8b": "compressed by gzip",
    b"PAR1": "Parquet",
}


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
    order mark, with any line ends. All of its columns are texts, as they are spelt in the file:
    what a column is, the declaration decides when rows are prepared.
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
    _check_encoding(path)
    try:
        table = _texts(path, spec)
    except pa.ArrowInvalid:  # read again on one thread, which can number the row
        layout = _layout(spec)
        csv.read_csv(path, parse_options=layout, read_options=csv.ReadOptions(use_threads=False))
        raise
    columns: dict[str, pa.ChunkedArray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not name and column.null_count == len(column):
            continue  # delimiters at the end of each line, as spreadsheets write them
        if name in columns:
            raise SourceError(f"it has the column {name!r} twice; remove or rename one")
        try:
            columns[name] = column.cast(pa.string())
        except pa.ArrowInvalid:
            raise SourceError(f"column {name!r} is not UTF-8; save the file as UTF-8") from None
    return pa.table(columns)


def _texts(path: Path, spec: Delimited) -> pa.Table:
    with csv.open_csv(path, parse_options=_layout(spec)) as file:
        names = file.schema.names
    options = csv.ConvertOptions(
        null_values=list(spec.missing),
        strings_can_be_null=True,
        column_types=dict.fromkeys(names, pa.binary()),
    )
    return csv.read_csv(path, parse_options=_layout(spec), convert_options=options)


def _layout(spec: Delimited) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter=spec.delimiter, newlines_in_values=True)


def _check_encoding(path: Path) -> None:
    """Raise SourceError where a file begins as one of another encoding, or as no text at all."""
    with path.open("rb") as file:
        start = file.read(4)
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            raise SourceError(f"it is {encoding}; save it as CSV in UTF-8")
    if b"\0" in start:
        raise SourceError("it is UTF-16 or UTF-32; save it as CSV in UTF-8")


def _parquet(path: Path) -> Iterator[pa.Table]:
    """Yield batches without pandas' metadata, which would bring back an index of its own."""
    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow.remove_metadata()
        yield schema.empty_table()
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
