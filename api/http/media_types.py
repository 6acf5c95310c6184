"""Content-Type and Accept: the formats in which a table comes and goes, and files in forms.

A form is read piece by piece: it is what `curl -F file=@table.csv` sends.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.requests import Request

from api.errors import MalformedBodyError, NotAcceptableError, UnsupportedMediaTypeError
from treeline.registry import way_out


@dataclass(frozen=True)
class Format:
    """One format: how a body of it is taken in, and what it is called.

    `cut` into lines, `whole`, or `spooled` to a file that is then read in parts.
    """

    name: str
    media_type: str
    cut: str
    aliases: tuple[str, ...] = ()
    text: bool = True


FORMATS = (
    Format("csv", "text/csv", "lines"),
    Format("json", "application/json", "whole"),
    Format("lines", "application/x-ndjson", "lines", ("application/jsonl", "application/ndjson")),
    Format("arrow", "application/vnd.apache.arrow.stream", "spooled", text=False),
    Format("parquet", "application/vnd.apache.parquet", "spooled", text=False),
)
BY_NAME = {each.name: each for each in FORMATS}
BY_MEDIA_TYPE = {name: each for each in FORMATS for name in (each.media_type, *each.aliases)}
KNOWN = ", ".join(each.media_type for each in FORMATS)
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def media_type(request: Request) -> str:
    """Return the Content-Type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def format_of(headers: Headers) -> Format:
    """Return the format of a body; raises UnsupportedMediaTypeError."""
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("identity", ""):
        raise UnsupportedMediaTypeError(
            f"The Content-Encoding is {encoding!r}; send the table as it is."
        )
    given = headers.get("content-type", "")
    known = named(given)
    if known is None:
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the table as one of: {KNOWN}, or as the file of "
            "a form."
        )
    return checked(known)


def named(given: str) -> Format | None:
    """Return the format that a Content-Type names, if any; raises UnsupportedMediaTypeError."""
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    format_named = BY_MEDIA_TYPE.get(media_type)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        known = format_named is None or not format_named.text or value.strip('"') in CHARSETS
        if name == "charset" and not known:
            raise UnsupportedMediaTypeError(f"The charset is {value!r}; send the table as UTF-8.")
    return format_named


def checked(known: Format) -> Format:
    """Return a format; raises UnsupportedMediaTypeError where what reads it is not installed."""
    if not known.text and (missing := lacking()):
        raise UnsupportedMediaTypeError(f"{known.media_type} {missing}")
    return known


def lacking() -> str:
    """Say what Arrow and Parquet lack here; empty when they lack nothing."""
    if find_spec("pyarrow") is not None:
        return ""
    return f"needs the package 'pyarrow' beside the service; {way_out('arrow')}"


def format_for(headers: Headers, *, otherwise: Format) -> Format:
    """Return the format to answer in; `otherwise` where any will do. Raises NotAcceptableError."""
    accepted = ",".join(headers.getlist("accept"))
    for media_range in preferred(accepted):
        known = _covered(media_range, (otherwise, *FORMATS))
        if known is not None and not known.text and (missing := lacking()):
            raise NotAcceptableError(f"{known.media_type} {missing}")
        if known is not None:
            return known
    raise NotAcceptableError(f"The Accept is {accepted!r}; accept one of: {KNOWN}.")


def preferred(accepted: str) -> list[str]:
    """Return the media ranges of an Accept, best first; whoever sends none takes anything."""
    if not accepted.strip():
        return ["*/*"]
    weighed = sorted((_weighed(each) for each in accepted.split(",")), key=lambda each: -each[1])
    return [media_range for media_range, weight in weighed if weight > 0]


def _weighed(part: str) -> tuple[str, float]:
    media_range, *parameters = (each.strip().lower() for each in part.split(";"))
    weights = [each[2:] for each in parameters if each.startswith("q=")]
    try:
        return media_range, float(weights[0]) if weights else 1.0
    except ValueError:
        return media_range, 0.0


def _covered(media_range: str, candidates: tuple[Format, ...]) -> Format | None:
    """Return the first of the candidates that a range such as `text/*` covers."""
    for candidate in candidates:
        for name in (candidate.media_type, *candidate.aliases):
            within = media_range.endswith("/*") and name.startswith(media_range[:-1])
            if within or media_range in ("*/*", name):
                return candidate
    return None


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
        declared = self._headers.get(b"content-type", b"").decode("latin-1")
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename", b"").decode(errors="replace")
        known = named(declared)
        if known is None and (name := SUFFIXES.get(PurePosixPath(filename).suffix.lower())):
            known = BY_NAME[name]
        if known is None:
            raise UnsupportedMediaTypeError(
                f"The file {filename[:80]!r} of the form is of no known format; its name must end "
                f"in one of: {', '.join(SUFFIXES)}."
            )
        return checked(known)

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
