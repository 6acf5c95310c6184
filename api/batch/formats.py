"""Content-Type and Accept → the formats in which a batch comes and goes."""

from dataclasses import dataclass
from importlib.util import find_spec

from starlette.datastructures import Headers

from api.errors import NotAcceptableError, UnsupportedMediaTypeError
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


def format_of(headers: Headers) -> Format:
    """Return the format of a body; raises UnsupportedMediaTypeError."""
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("identity", ""):
        raise UnsupportedMediaTypeError(
            f"The Content-Encoding is {encoding!r}; send the table as it is."
        )
    given = headers.get("content-type", "")
    found = named(given)
    if found is None:
        raise UnsupportedMediaTypeError(
            f"The Content-Type is {given!r}; send the table as one of: {KNOWN}, or as the file of "
            "a form."
        )
    return checked(found)


def named(given: str) -> Format | None:
    """Return the format that a Content-Type names, if any; raises UnsupportedMediaTypeError."""
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    found = BY_MEDIA_TYPE.get(media_type)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        known = found is None or not found.text or value.strip('"') in CHARSETS
        if name == "charset" and not known:
            raise UnsupportedMediaTypeError(f"The charset is {value!r}; send the table as UTF-8.")
    return found


def checked(found: Format) -> Format:
    """Return a format; raises UnsupportedMediaTypeError where what reads it is not installed."""
    if not found.text and (missing := lacking()):
        raise UnsupportedMediaTypeError(f"{found.media_type} {missing}")
    return found


def lacking() -> str:
    """Say what Arrow and Parquet lack here; empty when they lack nothing."""
    if find_spec("pyarrow") is not None:
        return ""
    return f"needs the package 'pyarrow' beside the service; {way_out('arrow')}"


def format_for(headers: Headers, *, otherwise: Format) -> Format:
    """Return the format to answer in; `otherwise` where any will do. Raises NotAcceptableError."""
    accepted = ",".join(headers.getlist("accept"))
    if not accepted.strip():
        return otherwise
    ranges = sorted((_weighed(each) for each in accepted.split(",")), key=lambda each: -each[1])
    for media_range, weight in ranges:
        found = _covered(media_range, (otherwise, *FORMATS)) if weight > 0 else None
        if found is not None and not found.text and (missing := lacking()):
            raise NotAcceptableError(f"{found.media_type} {missing}")
        if found is not None:
            return found
    raise NotAcceptableError(f"The Accept is {accepted!r}; accept one of: {KNOWN}.")


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
