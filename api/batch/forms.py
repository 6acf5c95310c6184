"""A form → the file in it, piece by piece: what `curl -F file=@table.csv` sends."""

from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.batch.formats import BY_NAME, Format, checked, named
from api.errors import MalformedBodyError, UnsupportedMediaTypeError

MULTIPART = "multipart/form-data"
SUFFIXES = {
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".parquet": "parquet",
}
LEAD_BYTES = 64 << 10  # before the file begins: its own headers, and short fields


class FormFile:
    """The first file of a form, whatever the form calls it; what else is in the form is let be."""

    def __init__(self, body: AsyncIterator[bytes], content_type: str) -> None:
        """Read a body of this Content-Type; raises MalformedBodyError without a boundary."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedBodyError("The form names no boundary in its Content-Type.")
        self._body = body
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._open = self._done = False
        self._ready: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": self._on_name,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_headers,
                    "on_part_begin": self._on_part,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedBodyError(f"The form cannot be read: {error}") from error

    async def format(self) -> Format:
        """Read as far as the file begins, and return its format.

        It is told by the file's own Content-Type, or by the end of its name. Raises
        MalformedBodyError and UnsupportedMediaTypeError.
        """
        read = 0
        async for piece in self._body:
            self._feed(piece)
            read += len(piece)
            if self._open or self._done:
                return self._format()
            if read > LEAD_BYTES:
                break
        raise MalformedBodyError("The form has no file; send one: curl -F file=@table.csv")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the file; raises MalformedBodyError where the form ends before it does."""
        for piece in self._taken():
            yield piece
        async for body in self._body:
            self._feed(body)
            for piece in self._taken():
                yield piece
        if not self._done:
            raise MalformedBodyError("The form ended within its file.")

    def _format(self) -> Format:
        told = self._headers.get(b"content-type", b"").decode("latin-1")
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename", b"").decode(errors="replace")
        found = named(told)
        if found is None and (name := SUFFIXES.get(PurePosixPath(filename).suffix.lower())):
            found = BY_NAME[name]
        if found is None:
            raise UnsupportedMediaTypeError(
                f"The file {filename[:80]!r} of the form is of no known format; its name must end "
                f"in one of: {', '.join(SUFFIXES)}."
            )
        return checked(found)

    def _taken(self) -> list[bytes]:
        taken, self._ready = self._ready, []
        return taken

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise MalformedBodyError(f"The form cannot be read: {str(error)[:200]}") from error

    def _on_part(self) -> None:
        if not self._done:
            self._headers = {}

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if not (self._open or self._done):
            self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._open = not self._done and b"filename" in options

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._open:
            self._ready.append(data[start:end])

    def _on_end(self) -> None:
        self._done = self._done or self._open
        self._open = False
