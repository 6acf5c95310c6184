"""What a column holds → the feature that it makes, or why it makes none. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
import pandas as pd

from treeline.contract.features import Feature
from treeline.contract.kinds import INTEGER_MAX
from treeline.drafting.columns import ColumnReading
from treeline.errors import DataError
from treeline.preparation.checking import check_spacing

SCALES = (
    ("very low", "low", "medium", "high", "very high"),
    ("low", "moderate", "high"),
    ("none", "mild", "moderate", "severe"),
    ("xs", "s", "m", "l", "xl", "xxl"),
    ("tiny", "small", "medium", "large", "huge"),
    ("very poor", "poor", "fair", "average", "good", "very good", "excellent"),
    ("bad", "average", "good"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("cold", "cool", "mild", "warm", "hot"),
    ("young", "middle", "old"),
    ("no", "yes"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("very dissatisfied", "dissatisfied", "neutral", "satisfied", "very satisfied"),
    ("very unlikely", "unlikely", "neutral", "likely", "very likely"),
    ("primary", "secondary", "tertiary"),
    ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
FIRST_NUMBER = re.compile(r"\D{0,12}?(\d+)")
TOKENS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|#")
OF_ROWS = {"id", "no", "nr", "number", "index", "key", "uuid", "guid", "row", "unnamed", "#"}
LAST_OF_GROUPS = {"id", "no", "nr", "number"}
OF_GROUPS = {"id", "patient", "subject", "customer", "client", "user", "person", "participant"}
OF_GROUPS |= {"household", "family", "animal", "plot", "batch", "group", "account", "device"}
WORDS_OF_TEXT = 3.0  # on average: a column of such values is text that people wrote
ROWS_EACH = 20  # of a category, on average: with fewer there are too many categories
FEWEST_LIMIT, MOST_LIMIT = 10, 60  # categories, between which the rows decide
FEWEST_GROUPS = 8
MOST_OF_THEM = 0.6  # of categories: so many begin with a number, and the others stand behind
MOSTLY = 0.9  # of the steps between ids
SHARE = 0.5  # the least that the largest of numbers is which are shares, from 0 to 1
FEWEST_ROWS = 10  # with fewer, that all values differ says nothing


@dataclass(frozen=True)
class LeftOut:
    """A column that makes no feature, and why; `decided` where it may not group rows either."""

    name: str
    reason: str
    decided: bool = False


def feature_of(column: ColumnReading) -> dict[str, Any] | LeftOut:
    """Return what to declare of a column, or why it is left out."""
    if (reason := _unfit(column)) is not None:
        return LeftOut(column.name, reason)
    declared: dict[str, Any] = {"type": column.holds}
    if column.holds == "words":
        declared = {"type": "category", "categories": in_order(column)}
    elif column.holds != "boolean":
        declared |= bounds(column)
    if column.n_missing:
        declared["nullable"] = True
    if column.unit:
        declared["unit"] = column.unit
    return declared


def _unfit(column: ColumnReading) -> str | None:
    """Return why a column cannot be a feature, None where it can."""
    different, known = len(column.counts), column.counts.total()
    if column.holds == "nothing":
        return "no row has a value"
    if different == 1:
        value = next(iter(column.counts))
        return f"one value only, {value!r}{', or none' if column.n_missing else ''}"
    if column.holds == "time":
        return column.note or "a date or a time, for which there is no type of feature"
    names_rows = different == known >= FEWEST_ROWS and _names_rows(column)
    return "one value per row: it names rows" if names_rows else _too_much(column)


def _names_rows(column: ColumnReading) -> bool:
    """Tell whether a column whose values all differ names rows rather than measures them."""
    if column.holds == "words":
        return _words_each(column) < WORDS_OF_TEXT
    whole = all(text.lstrip("+-").isdigit() for text in column.counts)
    beyond = whole and max(map(float, column.counts)) > INTEGER_MAX
    named = tokens(column.name)
    return whole and (beyond or bool(OF_ROWS & {*named[:1], *named[-1:]}))


def _too_much(column: ColumnReading) -> str | None:
    """Return why a column holds more than a feature can: words, or digits."""
    if column.holds != "words":
        return _lost(column) if column.holds in ("integer", "number") else None
    different = len(column.counts)
    limit = min(MOST_LIMIT, max(FEWEST_LIMIT, column.counts.total() // ROWS_EACH))
    if _words_each(column) >= WORDS_OF_TEXT and different > limit:
        return "free text, for which there is no type of feature"
    return None if different <= limit else f"{different:,} different words: too many for categories"


def _lost(column: ColumnReading) -> str | None:
    values = column.values.dropna().astype("float64").rename(column.name)
    try:
        check_spacing(lambda _name: values, {column.name: Feature(type="number")})
    except DataError:
        return "its numbers differ beyond the seven digits of float32: subtract an offset"
    return None


def groups(column: ColumnReading) -> bool:
    """Tell whether values come again and are many: what rows may be grouped by."""
    different = len(column.counts)
    many = different >= FEWEST_GROUPS and column.counts.total() >= 2 * different
    return many and not column.n_missing and column.holds in ("words", "integer")


def named_for_groups(column: ColumnReading) -> bool:
    """Tell whether the name of a column says that it groups rows."""
    named = tokens(column.name)
    return bool(OF_GROUPS & set(named) or LAST_OF_GROUPS & {*named[-1:]})


def counts_rows(values: pd.Series) -> bool:
    """Tell whether different numbers of shape (n_rows,) are a count: nearly all steps are equal."""
    steps = np.diff(np.unique(values.to_numpy(np.float64)))
    return bool(np.mean(steps == np.median(steps)) >= MOSTLY)


def tokens(name: str) -> list[str]:
    """Return the words of a name, lowercase: customer and id of CustomerID and of customer_id."""
    return [token.lower() for token in TOKENS.findall(name)]


def in_order(column: ColumnReading) -> list[str]:
    """Return categories in the order of their scale, of their first number, or of frequency."""
    words = list(column.counts)
    folded = {word: word.casefold() for word in words}
    for scale in SCALES:
        if set(folded.values()) <= set(scale):
            return sorted(words, key=lambda word: scale.index(folded[word]))
    by_frequency = sorted(words, key=lambda word: (-column.counts[word], word))
    if all(len(word) == 1 for word in words):
        return sorted(words)
    numbers = {word: int(match[1]) for word in words if (match := FIRST_NUMBER.match(word))}
    if len(numbers) < len(words) * MOST_OF_THEM:
        return by_frequency
    ranges = sorted(numbers, key=lambda word: (numbers[word], _side(word), word))
    return [*ranges, *(word for word in by_frequency if word not in numbers)]


def _side(word: str) -> int:
    """Return where a range stands that begins at a number: those below it come first."""
    if word.lower().startswith(("<", "under", "below", "less", "up to")):
        return -1
    return 1 if word.lower().startswith((">", "over", "above", "more")) or word.endswith("+") else 0


def bounds(column: ColumnReading) -> dict[str, float | int]:
    """Return limits with room for what the rows do not show: half their spread on either side.

    What is never negative stays so; shares stay from 0 to 1, flags too, percentages to 100.
    """
    numbers = column.numbers()
    low, high = float(numbers.min()), float(numbers.max())
    whole = column.holds == "integer"
    if low >= 0 and SHARE <= high <= 1:
        return {"minimum": 0, "maximum": 1}
    if column.unit == "%" and low >= 0 and high <= 100:
        return {"minimum": 0, "maximum": 100}
    spread = (high - low) or abs(high) or 1.0
    digits = -floor(log10(spread))
    step = 10.0**-digits
    least = floor((low - spread / 2) / step) * step
    most = ceil((high + spread / 2) / step) * step
    least = max(0.0, least) if low >= 0 else least
    most = min(0.0, most) if high <= 0 else most
    if whole:
        least, most = max(least, -INTEGER_MAX), min(most, INTEGER_MAX)
    return {"minimum": _round(least, digits), "maximum": _round(most, digits)}


def _round(limit: float, digits: int) -> float | int:
    rounded = round(limit, max(0, digits))
    return int(rounded) if rounded.is_integer() else rounded


def _words_each(column: ColumnReading) -> float:
    """Return how many words a value has on average."""
    counts: Sequence[int] = [len(word.split()) for word in column.counts]
    return sum(counts) / len(counts)
