"""A value that a feature does not admit → the words in which every door refuses it."""

from collections.abc import Collection, Iterable
from datetime import date, time
from decimal import Decimal
from itertools import islice, takewhile
from math import inf
from typing import Any

import numpy as np
from pydantic_core import to_json

from treeline.contract.features import KEY_WANTED, Feature
from treeline.contract.kinds import is_number
from treeline.errors import Problem

MAX_NAMES = 100  # that a message repeats
MAX_SHOWN = 80  # characters of a value that a message repeats

NAMES = (
    (bool, "a boolean"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
    (int | float, "a number"),
    (date | time, "a date or a time"),
)


def value_problem(name: str, feature: Feature, value: object) -> Problem:
    """Return the problem of a value that a feature does not admit; None is a missing one."""
    admitted = feature.categories or None
    if value is None:
        return Problem(name, f"is missing; give {feature.describe()}", admitted=admitted)
    return Problem(
        name, f"{refusal(feature, value)}; give {wanted(feature, value)}", value, admitted
    )


def key_problem(name: str, value: object) -> Problem:
    """Return the problem of what is no key of a caller's own."""
    wanted_key = f"{KEY_WANTED}, or leave it out"
    return Problem(name, f"{shown(value)} is not admitted; give {wanted_key}", value)


def refusal(feature: Feature, value: object) -> str:
    """Say what a value is, where its type is wrong, or else that it is not admitted."""
    wrong = not feature.kind.is_of(value) and not feature.categories
    return f"{shown(value)} is {named(value) if wrong else 'not admitted'}"


def wanted(feature: Feature, value: object) -> str:
    """Say what a feature admits, and the limit of its type where no declared bound is broken."""
    words = feature.describe()
    if is_number(value):
        words += feature.kind.broken_limit(feature, as_float(value))
    return words + (", or leave it out" if feature.optional else "")


def as_float(number: float) -> float:
    """Return a number as a float, infinity in place of a whole number that no float holds."""
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def plain(value: Any) -> Any:
    """Return a value of numpy, or a decimal number, as Python's own, for messages and JSON."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.item() if isinstance(value, np.generic) else value


def listed(names: Collection[str]) -> str:
    """Return the first of some names, and how many there are besides."""
    first = ", ".join(islice(names, MAX_NAMES))
    return first if len(names) <= MAX_NAMES else f"{first}, and {len(names) - MAX_NAMES} more"


def named(value: object) -> str:
    """Name the JSON type of a value."""
    return next((name for cls, name in NAMES if isinstance(value, cls)), "null")


def shown(value: object) -> str:
    """Return a value as JSON shows it, cut short when it is long."""
    short = clipped(value, most=MAX_SHOWN)
    text = to_json(short, inf_nan_mode="constants", fallback=str).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def clipped(value: object, *, most: int) -> object:
    """Return as much of a value as `most` characters of JSON can show, and a little more."""
    left = most + 1

    def part(whole: Any) -> Any:
        nonlocal left
        left -= 1
        if isinstance(whole, str):
            clipped_text = whole[: max(left, 0) + 1]
            left -= len(clipped_text)
            return clipped_text
        if isinstance(whole, dict):
            return {part(name): part(each) for name, each in while_room(whole.items())}
        if isinstance(whole, list | tuple):
            return [part(each) for each in while_room(whole)]
        return whole

    def while_room(items: Iterable[Any]) -> Iterable[Any]:
        return takewhile(lambda _: left > 0, items)

    return part(value)
