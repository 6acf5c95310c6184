"""A CSV or Parquet file → tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import csv, parquet

from treeline.errors import SourceError

BATCH_ROWS = 500_000
FORMATS = (".csv", ".parquet")


def format_of(name: str) -> str:
    """Return `.csv` or `.parquet` for the name of a file or the path of a URL."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in FORMATS:
        raise SourceError(f"{name}: {suffix or 'no suffix'!r} is no format that is read; use {' or '.join(FORMATS)}")
    return suffix


def read_tables(
    path: Path, *, suffix: str, delimiter: str, missing: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield the rows of a file; raises SourceError naming the file and what is wrong in it.

    CSV is UTF-8, with or without a byte order mark, with any line ends; the type of a column is
    told from all of its values, and a column of numbers and other things is text.
    """
    try:
        if suffix == ".csv":
            yield csv.read_csv(
                path,
                parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    null_values=list(missing), strings_can_be_null=True
                ),
            )
        else:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    yield pa.Table.from_batches([batch])
    except FileNotFoundError:
        raise SourceError(
            f"{path}: not found; fetch it with `dvc pull {path}`, or bring it in with `make adopt`"
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as {suffix[1:]}: {error}") from error
