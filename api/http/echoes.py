"""What an answer, a log or a table may repeat of strangers' text.

A name, a value or a message may be as long as a body, and a hundred problems may each repeat the
names of a thousand features: each part is bounded. What moves the cursor, ends a line or turns the
direction of writing is escaped. What a spreadsheet takes for a formula is made a text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from treeline.contract.problems import clipped
from treeline.errors import Problem

MAX_ECHO = 200  # characters of a refused value or of its name that an answer repeats
MAX_MESSAGE = 4_000  # characters: of one problem, and of the detail of all
MAX_LISTED = 24_000  # characters of all that is listed


class FieldError(BaseModel):
    """One thing wrong with one value."""

    field: str = Field(description="Name of the feature, or `body` for the whole")
    message: str = Field(description="What is wrong, and what would be right")
    value: Any = Field(default=None, description="The value that was sent; null when absent")
    admitted: tuple[str, ...] | None = Field(default=None, description="The categories there are")


def field_errors(problems: Sequence[Problem]) -> tuple[FieldError, ...]:
    """Return the entries of `errors`, as many as there is room for, and how many more there are."""
    listed: list[FieldError] = []
    left = MAX_LISTED
    for problem in problems:
        entry = field_error(problem)
        left -= len(entry.field) + len(entry.message) + sum(map(len, entry.admitted or ()))
        if left < 0 and listed:
            text = f"and {len(problems) - len(listed)} more problems"
            return (*listed, FieldError(field="body", message=text))
        listed.append(entry)
    return tuple(listed)


def field_error(problem: Problem) -> FieldError:
    """Return the entry of `errors` for one problem; what is long is cut short."""
    entry = FieldError(
        field=cut(problem.place, MAX_ECHO),
        message=cut(problem.message, MAX_MESSAGE),
        value=echo(problem.value),
    )
    if problem.admitted is not None:
        return FieldError(**entry.model_dump(exclude_unset=True), admitted=problem.admitted)
    return entry


def detail_of(problems: Iterable[Problem]) -> str:
    """Return all problems as one text."""
    texts = (f"{cut(each.place, MAX_ECHO)}: {each.message}" for each in problems)
    return cut("; ".join(texts), MAX_MESSAGE)


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, and a mark where it was longer."""
    return text if len(text) <= most else text[:most] + "…"


def echo(value: object) -> object:
    """Return a value that repeats `value`: NaN and infinities as words, long ones cut."""
    text = to_json(clipped(value, most=MAX_ECHO), inf_nan_mode="strings", fallback=str)
    if len(text) <= MAX_ECHO:
        return from_json(text)
    return text.decode()[:MAX_ECHO] + "…"


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
