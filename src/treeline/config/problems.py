"""A refused declaration → one line per mistake: the place in the file, the value, the way out."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from treeline.contract.texts import RULE, slug_of

SHOWN_CHARACTERS = 80

_NEEDED = {  # what each of pydantic's complaints about a type asks for
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text (put it in quotes)",
    "tuple": "a list",
    "list": "a list",
    "dict": "a block of keys",
    "model": "a block of keys",
}
_TYPE_FAULTS = ("type", "parsing", "from")  # `int_type`, `float_parsing`, `int_from_float`
_MESSAGES = {
    "extra_forbidden": "not a known key; check its spelling, or remove it",
    "missing": "missing; add it",
    "union_tag_not_found": "`kind` is missing; add it",
}


def problems(error: ValidationError, document: Any) -> list[str]:
    """Return the mistakes in a YAML document, one line each, without those that follow from others.

    A value that fits none of several types is one mistake, and reported once.
    """
    if declares_nothing(document):
        return ["declares no model yet; draft one: make add FILE=path/to/table.csv TARGET=column"]
    details: dict[tuple[Any, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        details.setdefault(_place(detail, document), []).append(detail)
    deepest = [place for place in details if not any(_is_within(other, place) for other in details)]
    return [
        f"{'.'.join(map(str, place)) or 'document'}: {_description(details[place])}"
        for place in deepest
    ]


def declares_nothing(document: Any) -> bool:
    """Tell whether a document is the declaration of a repository that has no model yet."""
    return isinstance(document, dict) and "models" in document and not any(document.values())


def yaml_problem(error: YAMLError) -> str:
    """Return in one line what is wrong with a YAML text, and where."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    mark = error.problem_mark
    message = f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return f"{message}; remove one of the two" if "duplicate key" in message else message


def _place(detail: ErrorDetails, document: Any) -> tuple[Any, ...]:
    """Return the keys of the file that lead to a mistake, without pydantic's names of types."""
    place, here = [], document
    for part in detail["loc"]:
        if _has(here, part):
            place.append(part)
            here = here[part]
    if detail["type"] == "missing":
        place.append(detail["loc"][-1])
    return tuple(place)


def _has(here: Any, part: int | str) -> bool:
    if isinstance(here, list):
        return isinstance(part, int) and part < len(here)
    return isinstance(here, dict) and part in here


def _is_within(place: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(place) > len(other) and tuple(place[: len(other)]) == tuple(other)


def _description(details: Sequence[ErrorDetails]) -> str:
    """Return what is wrong with one value: what it breaks, or else the types it might have had."""
    broken = [detail for detail in details if _needed(detail) is None]
    detail, value = (broken or details)[0], details[0]["input"]
    message = _message(detail) if broken else f"should be {_either(map(_needed, details))}"
    shown = "nothing" if value is None else repr(value)
    is_quoted = isinstance(value, str) and shown in message
    if isinstance(value, dict) or detail["type"] == "missing" or is_quoted:
        return message
    return f"{message} (found {shown[:SHOWN_CHARACTERS]})"


def _needed(detail: ErrorDetails) -> str | None:
    kind, _, fault = detail["type"].partition("_")
    return _NEEDED.get(kind) if fault.startswith(_TYPE_FAULTS) else None


def _either(words: Iterable[str | None]) -> str:
    *most, last = dict.fromkeys(word for word in words if word)
    return f"{', '.join(most)} or {last}" if most else last


def _message(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "union_tag_invalid":
        return f"`kind` is {context['tag']!r}; choose from {context['expected_tags']}"
    if kind == "string_pattern_mismatch" and detail["loc"][-1] == "[key]":
        return f"{RULE}; call it {slug_of(str(detail['input']))!r}"
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
    return _MESSAGES.get(kind, message)
