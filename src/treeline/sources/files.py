"""A CSV or Parquet file → tables: one below `dataset/sources/file`, or behind http(s)."""

import codecs
import hashlib
import re
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pyarrow as pa
from pyarrow import csv, parquet
from tqdm import tqdm

from treeline import __version__
from treeline.config.sources import Delimited, FileSource, UrlSource
from treeline.errors import SourceError
from treeline.files import CHUNK_BYTES

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
        fault = f"{suffix!r} is no format that is read" if suffix else "it has no suffix"
        raise SourceError(f"{name}: {fault}; give a file that ends in {' or '.join(FORMATS)}")
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


class FileTables:
    """The rows of one file."""

    def __init__(self, spec: FileSource) -> None:
        self._spec = spec

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in file order; raises SourceError."""
        spec = self._spec
        return read_tables(Path(spec.path), suffix=format_of(spec.path), spec=spec, name=spec.path)


ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5  # doubled before each further attempt
LENGTH = re.compile(r"[0-9]{1,18}")
MAY_PASS = (408, 425, 429)  # answers below 500 that ask to come again: timeout, too early, too many


class UrlTables:
    """The rows of one remote file, downloaded whole before any of them is read."""

    def __init__(
        self, spec: UrlSource, *, first_pause_seconds: float = FIRST_PAUSE_SECONDS
    ) -> None:
        self._spec = spec
        self._first_pause_seconds = first_pause_seconds

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in file order; raises SourceError."""
        spec, suffix = self._spec, format_of(urlsplit(self._spec.url).path)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"download{suffix}"
            actual = self._download(path)
            if spec.sha256 is not None and actual != spec.sha256:
                raise SourceError(
                    f"{spec.url}: its SHA-256 is {actual}, declared is {spec.sha256}; "
                    "if the new content is wanted, declare its digest"
                )
            yield from read_tables(path, suffix=suffix, spec=spec, name=spec.url)

    def _download(self, path: Path) -> str:
        """Fetch the file to `path`, retrying what may pass; return its SHA-256."""
        spec, pause = self._spec, self._first_pause_seconds
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with path.open("wb") as target:
                    return self._fetch(target)
            except HTTPError as error:
                error.close()
                fault = f"answered {error.code} {error.reason}"
                if error.code < 500 and error.code not in MAY_PASS:
                    raise SourceError(f"{spec.url}: {fault}; correct source.url") from None
            except URLError as error:
                fault = str(error.reason)
            except (OSError, HTTPException) as error:
                fault = str(error) or type(error).__name__
            if attempt < ATTEMPTS:
                time.sleep(pause)
                pause *= 2
        raise SourceError(
            f"{spec.url}: {fault} ({ATTEMPTS} attempts); check that it can be reached from here, "
            "or try again later"
        )

    def _fetch(self, target: BinaryIO) -> str:
        sha256 = hashlib.sha256()
        request = Request(self._spec.url, headers={"User-Agent": f"treeline/{__version__}"})
        with urlopen(request, timeout=self._spec.timeout_seconds) as answer:
            expected = declared_length(answer.headers.get("Content-Length"))
            self._bound(expected)
            with tqdm(total=expected or None, unit="B", unit_scale=True, disable=None) as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    self._bound(target.tell() + len(chunk))
                    sha256.update(chunk)
                    bar.update(target.write(chunk))
            if target.tell() < expected:
                raise HTTPException(f"ended after {target.tell()} of {expected} bytes")
        return sha256.hexdigest()

    def _bound(self, size: int) -> None:
        """Raise SourceError when the file is larger than declared, however it came out."""
        if size > self._spec.max_bytes:
            raise SourceError(
                f"{self._spec.url}: it has {size:,} bytes or more; at most "
                f"{self._spec.max_bytes:,} are fetched; if it is wanted, declare source.max_bytes"
            )


def declared_length(header: str | None) -> int:
    """Return the length that an answer declares; 0 where it declares none that can be read."""
    return int(header) if header is not None and LENGTH.fullmatch(header) else 0
