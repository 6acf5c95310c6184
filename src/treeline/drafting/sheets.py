"""The bytes of a delimited file → its header and columns of texts, and how it was written."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from treeline.contract.texts import NUMBER, composed
from treeline.drafting.hints import Hints
from treeline.errors import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SPACE = " "
LOOKED_AT = 500  # rows by which the delimiter is judged; all are held against it afterwards
WESTERN, CENTRAL = "cp1252", "cp1250"
CODINGS = (WESTERN, CENTRAL, "cp1251", "mac_roman", "shift_jis", "gb18030")
BYTE_ORDER_MARKS = {  # the longer mark comes first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
FOREIGN = {
    b"PK\x03\x04": "a spreadsheet or a zip file",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old",
    b"\x1f\x8b": "compressed by gzip",
    b"%PDF": "a PDF",
}
CONTEXT = 12  # characters shown on either side of one that is read in two ways
SHOWN = 3  # rows or names that a message lists

Rows = list[list[str]]


@dataclass(frozen=True)
class Sheet:
    """A table of texts: each column has the length of the others, without surrounding spaces.

    `notes` say what was read as what; `canonical` that a reader of UTF-8, commas and decimal points
    reads the file as this one was read.
    """

    columns: dict[str, list[str]]
    notes: tuple[str, ...]
    canonical: bool

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return len(next(iter(self.columns.values())))


def read_sheet(payload: bytes, hints: Hints) -> Sheet:
    """Return the table in the bytes of a file; raises DataError for what is none, or is two."""
    text, notes = decoded(payload, hints.encoding)
    canonical = not notes
    text, said = _declared_delimiter(text)
    delimiter, quote = _delimiter(text, hints.delimiter or said)
    if delimiter != ",":
        notes.append(f"fields are separated by a {_name(delimiter)}")
    if quote != '"':
        notes.append(f"fields are quoted by {quote}")
    rows = list(_records(text, delimiter, quote))
    header, body, more = _framed(rows, delimiter)
    names, renamed = _names(header)
    body, dropped = _without_repeats(body, header)
    if not body:
        raise DataError("there are no rows below the header; add the data")
    columns = {
        name: [composed(_bare(row[place])) for row in body] for place, name in enumerate(names)
    }
    notes += [*more, *renamed, *dropped]
    trimmed = any(field != _bare(field) for row in body for field in row)
    if trimmed:
        notes.append("spaces around values are taken away")
    canonical = canonical and delimiter == "," and quote == '"' and not trimmed
    canonical = canonical and not (more or renamed or dropped) and names == header
    return Sheet(columns, tuple(notes), canonical)


def decoded(payload: bytes, encoding: str | None) -> tuple[str, list[str]]:
    """Return the text of a file, and a note where it is no plain UTF-8; raises DataError."""
    for mark, kind in FOREIGN.items():
        if payload.startswith(mark):
            raise DataError(f"it is {kind}; save the table as CSV")
    if encoding is not None:
        return _as_said(payload, encoding)
    for mark, coding in BYTE_ORDER_MARKS.items():
        if payload.startswith(mark):
            name = "UTF-8" if coding == "utf-8-sig" else coding.upper()
            return payload.decode(coding), [f"the encoding is {name}, as its byte order mark says"]
    if b"\0" in payload[:4]:
        coding = "utf-16-le" if payload[1:2] == b"\0" else "utf-16-be"
        return payload.decode(coding), [f"the encoding is {coding.upper()}, by its zero bytes"]
    try:
        return payload.decode("utf-8"), []
    except UnicodeDecodeError as error:
        return _not_utf8(payload, error.start)


def _as_said(payload: bytes, encoding: str) -> tuple[str, list[str]]:
    try:
        text = payload.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise DataError(f"--encoding {encoding}: not known; one is {WESTERN}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"--encoding {encoding}: byte {error.start} is no text in it") from None
    plain = codecs.lookup(encoding).name == "utf-8"
    return text, [] if plain else [f"the encoding is {encoding}, as --encoding says"]


def _not_utf8(payload: bytes, at: int) -> tuple[str, list[str]]:
    """Return the text where Western and Central European readings are one; else ask."""
    texts = {coding: text for coding in CODINGS if (text := _try(payload, coding)) is not None}
    if WESTERN in texts and texts[WESTERN] == texts.get(CENTRAL):
        sample = _sample(payload, at, WESTERN)
        return texts[WESTERN], [f"the encoding is {WESTERN}, not UTF-8: {sample!r}"]
    readings = "; ".join(
        f"--encoding {coding} reads {_sample(payload, at, coding)!r}" for coding in texts
    )
    raise DataError(f"it is not UTF-8, and several encodings fit. {readings}")


def _try(payload: bytes, coding: str) -> str | None:
    try:
        return payload.decode(coding)
    except UnicodeDecodeError:
        return None


def _sample(payload: bytes, at: int, coding: str) -> str:
    """Return the line around the first byte that is not ASCII, as a coding reads it."""
    start = max(payload.rfind(b"\n", 0, at) + 1, at - CONTEXT)
    end = payload.find(b"\n", at)
    near = payload[start : min(len(payload) if end < 0 else end, at + CONTEXT)]
    return near.decode(coding, "ignore").strip()


def _declared_delimiter(text: str) -> tuple[str, str | None]:
    """Return the text without a first line `sep=;`, as spreadsheets write it, and what it says."""
    first, _, rest = text.partition("\n")
    said = first.strip().strip('"')
    if said.lower().startswith("sep=") and len(said) == 5:
        return rest, said[4]
    return text, None


def _records(text: str, delimiter: str, quote: str) -> Iterator[list[str]]:
    """Yield the records that are not blank."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote,
        skipinitialspace=True,
    )
    try:
        for record in reader:
            if any(_bare(field) for field in record):
                yield record
    except csv.Error as error:
        raise DataError(f"line {reader.line_num}: {error}; correct the file") from None


def _delimiter(text: str, said: str | None) -> tuple[str, str]:
    """Return the delimiter and the quote; raises DataError where none or several fit.

    A delimiter fits where each record has as many fields as the header, and more than one.
    """
    if not text.strip():
        raise DataError("it is empty; give a file with a header and rows")
    if said is not None:
        if len(said) != 1:
            raise DataError(f"--delimiter {said!r}: give one character, or tab")
        return said, _quote(text, said)
    fitting = [each for each in DELIMITERS if _fits(_shape(text, each))]
    if not fitting and _fits(_shape(text, SPACE)):
        fitting = [SPACE]
    if len(fitting) == 1:
        return fitting[0], _quote(text, fitting[0])
    if fitting:
        readings = "; ".join(
            f"--delimiter {_option(each)} reads {_shape(text, each)[0]} columns" for each in fitting
        )
        raise DataError(f"it can be cut into columns in more than one way. {readings}")
    usual = {each: _usual(_shape(text, each)) for each in DELIMITERS}
    best = max(usual, key=lambda each: usual[each])
    if usual[best][1] < 2:
        raise DataError(
            "there is one column only, whichever of comma, semicolon, tab, bar and space separates "
            "fields; name another one by --delimiter"
        )
    return best, _quote(text, best)


def _shape(text: str, delimiter: str) -> list[int]:
    """Return how many fields the first records have."""
    return [len(each) for each in islice(_records(text, delimiter, '"'), LOOKED_AT)]


def _fits(shape: list[int]) -> bool:
    return len(shape) > 1 and shape[0] > 1 and len(set(shape)) == 1


def _usual(shape: list[int]) -> tuple[float, int]:
    """Return the share of records that have the commonest number of fields, and that number.

    One field is no cut at all: its share is 0.
    """
    width, count = Counter(shape).most_common(1)[0]
    return (count / len(shape) if width > 1 else 0.0), width


def _quote(text: str, delimiter: str) -> str:
    header = next(_records(text, delimiter, '"'))
    single = all(len(each) > 1 and each[0] == each[-1] == "'" for each in map(_bare, header))
    return "'" if single else '"'


def _framed(rows: Rows, delimiter: str) -> tuple[list[str], Rows, list[str]]:
    """Return the header and the rows, of one width, and what was left out around them."""
    width = _usual([len(row) for row in rows])[1]
    first = next(place for place, row in enumerate(rows) if _heads(row, width))
    notes = [] if not first else [f"{first} line(s) above the header are left out: {_start(rows)}"]
    header, body = [_bare(field) for field in rows[first]], rows[first + 1 :]
    if body and len(header) == width - 1 and all(len(row) == width for row in body):
        if not any(_bare(row[-1]) for row in body):
            body = [row[:-1] for row in body]
            notes.append("a delimiter at the end of each row is left out")
        else:
            header = ["", *header]
            notes.append("the header has one name less than there are columns; the first has none")
    elif header and not header[-1] and not any(_bare(row[-1]) for row in body if len(row) == width):
        header, body = header[:-1], [row[:-1] if len(row) == width else row for row in body]
        notes.append("a delimiter at the end of each row is left out")
    wrong = [(first + 2 + at, row) for at, row in enumerate(body) if len(row) != len(header)]
    if wrong:
        places = ", ".join(f"row {at} has {len(row)}" for at, row in wrong[:SHOWN])
        raise DataError(
            f"the header has {len(header)} fields, separated by a {_name(delimiter)}; "
            f"{places}, and {len(wrong)} row(s) in all are like that; correct the file (a field "
            "that holds the delimiter needs quotes), or name another by --delimiter"
        )
    if all(NUMBER.fullmatch(each) or not each for each in header):
        raise DataError(
            f"the first row holds numbers only ({', '.join(header[:SHOWN])}, …), so there is no "
            "header; write a first line with the names of the columns"
        )
    return header, body, notes


def _heads(row: list[str], width: int) -> bool:
    """Tell whether a row can be the header: as wide as the rows, or without a name for the first.

    A row in which most fields are empty is a title.
    """
    filled = sum(1 for field in row if _bare(field))
    return len(row) in (width, width - 1) and filled > 1 and 2 * filled > len(row)


def _start(rows: Rows) -> str:
    return repr(" ".join(filter(None, map(_bare, rows[0]))))


def _names(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names that differ, on one line each, and what was renamed."""
    names: list[str] = []
    notes = []
    for place, given in enumerate(header, 1):
        name = composed(" ".join(given.split())) or f"unnamed_{place}"
        unique, number = name, 1
        while unique in names:
            number += 1
            unique = f"{name}_{number}"
        if unique != given:
            notes.append(f"column {place}, {given!r}, is called {unique!r}")
        names.append(unique)
    return names, notes


def _without_repeats(body: Rows, header: Sequence[str]) -> tuple[Rows, list[str]]:
    """Return the rows without further headers, as files that were joined have them."""
    rest = [row for row in body if [_bare(field) for field in row] != [*header]]
    count = len(body) - len(rest)
    return rest, [f"{count} row(s) repeat the header and are left out"] if count else []


def _bare(field: str) -> str:
    """Return a field without spaces around it, those that do not break among them."""
    return field.strip().strip("\ufeff")


def _name(delimiter: str) -> str:
    return "space" if delimiter == SPACE else DELIMITERS.get(delimiter, repr(delimiter))


def _option(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else f"'{delimiter}'"
