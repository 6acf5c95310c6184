"""URL source: a CSV or Parquet file behind http(s) → tables."""

import hashlib
import re
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pyarrow as pa
from tqdm import tqdm

from treeline import __version__
from treeline.config.sources import UrlSource
from treeline.errors import SourceError
from treeline.files import CHUNK_BYTES
from treeline.sources.reading import format_of, read_tables

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
            found = self._download(path)
            if spec.sha256 is not None and found != spec.sha256:
                raise SourceError(
                    f"{spec.url}: its SHA-256 is {found}, declared is {spec.sha256}; "
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
