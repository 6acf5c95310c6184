"""What is wrong with a request → as much of it as an answer repeats: each part is bounded.

A name, a value, a message may be as long as a body, and a hundred problems may each repeat the
names of a thousand features.
"""

from collections.abc import Iterable, Sequence
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
    told = (f"{cut(each.place, MAX_ECHO)}: {each.message}" for each in problems)
    return cut("; ".join(told), MAX_MESSAGE)


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, and a mark where it was longer."""
    return text if len(text) <= most else text[:most] + "…"


def echo(value: object) -> object:
    """Return a value that repeats `value`: NaN and infinities as words, long ones cut."""
    text = to_json(clipped(value, most=MAX_ECHO), inf_nan_mode="strings", fallback=str)
    if len(text) <= MAX_ECHO:
        return from_json(text)
    return text.decode()[:MAX_ECHO] + "…"
