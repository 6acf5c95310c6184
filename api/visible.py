"""Text of strangers → text that shows what it is: in a log, in a table.

Two rules, said once: what moves the cursor, ends a line or turns the direction of writing is
escaped; what a program for tables takes for a formula is a text there.
"""

import re
from collections.abc import Mapping

TAB = "\t"
# What ends a line somewhere or is obeyed by a terminal; and what changes the order in which the
# rest is shown, so that a line reads as another one.
LINE_ENDS = (0x2028, 0x2029)
BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
SURROGATES = range(0xD800, 0xE000)  # which no file can be written with
HIDDEN = (*range(0x20), *range(0x7F, 0xA0), *LINE_ENDS, *BIDIRECTIONAL, 0xFEFF, *SURROGATES)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


ESCAPES: Mapping[int, str] = {code: _escape(code) for code in HIDDEN if chr(code) != TAB}
JSON_ESCAPES: Mapping[int, str] = {code: f"\\u{code:04x}" for code in HIDDEN if code >= 0x20}

# With these, and with their wide forms, a formula begins in the programs that open CSV.
FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def escaped(text: str) -> str:
    """Return a text as one line that shows everything in it."""
    return text.translate(ESCAPES)


def escaped_json(document: str) -> str:
    """Return a JSON text of one line with what would not be shown escaped, as JSON does it."""
    return document.translate(JSON_ESCAPES)


def without_formula(cell: str) -> str:
    """Return a cell of CSV that no program takes for a formula; a number stays one.

    An apostrophe before `=`, `+`, `-`, `@`, a tab or a line end says that a text follows. Texts
    that begin so already get another one: taking one away gives back every text.
    """
    if FORMULA.match(cell) is None or NUMBER.fullmatch(cell) is not None:
        return cell
    return f"'{cell}"
