"""Columns of texts → what each holds: numbers, truths, words or times, and what is missing."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from treeline.contract.kinds import INTEGER_MAX
from treeline.drafting.hints import Hints, Mark
from treeline.drafting.numerals import Numeral, marks, numeral, plain
from treeline.drafting.times import is_time, iso
from treeline.errors import DataError
from treeline.preparation.columns import TRUTH_WORDS

Holds = Literal["integer", "number", "boolean", "words", "time", "nothing"]

# Never a value, whatever the column holds.
MISSING = {"na", "n/a", "#n/a", "#na", "<na>", "n.a.", "nan", "nat", "null"}
MISSING |= {"#null!", "#value!", "#div/0!", "#ref!", "#name?"}
# No value among numbers; among words, a dash is none either, and the others are words.
DASHES = {"?", "-", "--", "---", ".", "*", "\u2013", "\u2014", "\u2026"}
UNSAID = {"none", "unknown", "missing", "nil", "nd", "n.d.", "k.a.", "n.k.", "not available"}
UNSAID |= {"inf", "-inf"}
SENTINELS = (-99, -999, -9999, -99999, 999, 9999, 99999)
CODE = re.compile(r"[A-Z]{2}")
LEADING_ZERO = re.compile(r"0\d+")
MOSTLY = 0.9  # of the values: a column of numbers, in which something else is a fault
FEW_NUMBERS = 10  # different ones; with fewer, a column of words may hold some numbers
BEYOND = 3.0  # times the next value: a 999 that is none
LOOKED_AT = 50  # rows by which a second header is told
FEWEST_HEADS = 2
SHOWN = 3


@dataclass(frozen=True)
class ColumnReading:
    """What one column holds: `values` of shape (n_rows,), texts in canonical spelling, or None.

    `counts` are the rows of each value, `missing_words` what stood for none, `respelt` a value as
    it was and as it is, where any is written otherwise, `note` what a person should know.
    """

    name: str
    holds: Holds
    values: pd.Series
    counts: Counter[str]
    unit: str = ""
    missing_words: tuple[str, ...] = ()
    respelt: tuple[str, str] | None = None
    note: str = ""

    @property
    def n_missing(self) -> int:
        """How many rows have no value."""
        return len(self.values) - self.counts.total()

    def numbers(self) -> np.ndarray:
        """Return the different numbers of a column of numbers, float64 of shape (n_different,)."""
        return np.array([float(text) for text in self.counts], dtype=np.float64)


@dataclass(frozen=True)
class _Scan:
    """The different values of a column, those that are none, and those that are numbers."""

    name: str
    counts: Counter[str]
    missing: frozenset[str]
    numbers: Mapping[str, Numeral] = field(default_factory=dict)


def read_columns(columns: Mapping[str, Sequence[str]], hints: Hints) -> list[ColumnReading]:
    """Return what each column holds, in order; raises DataError where it can be read in two ways.

    Columns hold texts of one length, n_rows, the empty one for none.
    """
    _check_hints(columns, hints)
    _check_header(columns)
    scans = [_scan(name, Counter(texts), hints) for name, texts in columns.items()]
    decimal = marks({scan.name: scan.numbers.values() for scan in scans if scan.numbers}, hints)
    return [_reading(scan, columns[scan.name], decimal.get(scan.name), hints) for scan in scans]


def _check_hints(columns: Mapping[str, Sequence[str]], hints: Hints) -> None:
    """Raise DataError for a hint about what the table does not have: it is misspelt."""
    for option, words in (("missing", hints.missing), ("values", hints.values)):
        for word in words:
            if not any(word in texts for texts in columns.values()):
                raise DataError(f"--{option} {word!r}: no field of the table says so")
    for option, names in (("leave-out", hints.leave_out), ("fold-case", hints.fold_case)):
        for name in names:
            if name not in columns:
                raise DataError(
                    f"--{option} {name!r}: the table has no such column; it has "
                    f"{', '.join(map(repr, columns))}"
                )


def _scan(name: str, counts: Counter[str], hints: Hints) -> _Scan:
    missing = frozenset(
        word
        for word in counts
        if not word
        or word in hints.missing
        or (word.lower() in MISSING and word not in hints.values)
    )
    _check_codes(name, counts, missing, hints)
    words = [word for word in counts if word not in missing]
    if name in hints.leave_out:
        return _Scan(name, counts, missing)
    numbers = {word: number for word in words if (number := numeral(word)) is not None}
    odd = [word for word in words if word not in numbers]
    unsaid = frozenset(
        word for word in odd if word.lower() in DASHES | UNSAID and word not in hints.values
    )
    if numbers and unsaid.issuperset(odd) and _is_of_numbers(numbers):
        return _Scan(name, counts, missing | unsaid, numbers)
    if is_time([word for word in words if word not in unsaid]):
        return _Scan(name, counts, missing | unsaid)
    _check_faults(name, counts, numbers, [word for word in odd if word not in unsaid])
    dashes = frozenset(word for word in unsaid if word in DASHES)
    return _Scan(name, counts, missing | dashes)


def _is_of_numbers(numbers: Mapping[str, Numeral]) -> bool:
    """Tell whether numbers have one unit, and none is a code such as 007.

    All of them may be dates such as 20240131, which are times.
    """
    coded = any(LEADING_ZERO.fullmatch(number.text) for number in numbers.values())
    units = {number.unit for number in numbers.values()}
    return not coded and len(units) == 1 and not is_time(numbers)


def _check_codes(name: str, counts: Counter[str], missing: frozenset[str], hints: Hints) -> None:
    """Raise DataError where NA stands among codes of two letters, of which it may be one."""
    others = [word for word in counts if word not in missing]
    two_ways = "NA" in missing and "NA" not in hints.missing
    if two_ways and len(others) >= SHOWN and all(map(CODE.fullmatch, others)):
        raise DataError(
            f"column {name!r}: 'NA' stands among codes such as {', '.join(others[:SHOWN])}: a code "
            "(Namibia), or no value? --values NA reads a code; --missing NA reads no value"
        )


def _check_faults(
    name: str, counts: Counter[str], numbers: Mapping[str, Numeral], odd: Sequence[str]
) -> None:
    """Raise DataError for a column of numbers in which something else stands."""
    rows = sum(counts[word] for word in numbers)
    if not odd or len(numbers) < FEW_NUMBERS:
        return
    if rows >= MOSTLY * (rows + sum(counts[word] for word in odd)):
        shown = ", ".join(f"{word!r} ({counts[word]} rows)" for word in odd[:SHOWN])
        raise DataError(
            f"column {name!r} holds numbers, and {shown}. Is that no value? --missing "
            f"{odd[0]!r} says so; or correct the file, or leave the column out by --leave-out "
            f"{name!r}"
        )


def _reading(scan: _Scan, texts: Sequence[str], mark: Mark | None, hints: Hints) -> ColumnReading:
    words = [word for word in scan.counts if word not in scan.missing]
    unit, note = "", ""
    holds: Holds = "nothing"
    spelt: dict[str, str] = {}
    if not words:
        pass
    elif mark is not None:
        holds, spelt, unit = _numbers(scan, words, mark, hints)
    elif is_time(words):
        dates = iso(words)
        holds, spelt = "time", dates or {word: word for word in words}
        note = "" if dates else "dates or times that have no one reading"
    elif all(word.lower() in TRUTH_WORDS for word in words):
        holds, spelt = "boolean", {word: word.lower() for word in words}
    else:
        holds, spelt = "words", {word: word for word in words}
        if scan.name in hints.fold_case:
            spelt = _folded(scan.counts, words)
        note = _alike(scan.name, list(dict.fromkeys(spelt.values())))
    values = pd.Series([spelt.get(text) for text in texts], name=scan.name, dtype="str")
    counts: Counter[str] = Counter()
    for word, text in spelt.items():
        counts[text] += scan.counts[word]
    return ColumnReading(
        name=scan.name,
        holds=holds,
        values=values,
        counts=counts,
        unit=unit,
        missing_words=tuple(sorted(word for word in scan.missing if word)),
        respelt=next(((word, text) for word, text in spelt.items() if word != text), None),
        note=note,
    )


def _numbers(
    scan: _Scan, words: Sequence[str], mark: Mark, hints: Hints
) -> tuple[Holds, dict[str, str], str]:
    try:
        spelt = {word: plain(scan.numbers[word], mark) for word in words}
    except DataError as error:
        raise DataError(f"column {scan.name!r}: {error}") from None
    _check_sentinels(scan.name, scan.counts, spelt, hints)
    numbers = [float(text) for text in spelt.values()]
    whole = all(text.lstrip("+-").removesuffix(".0").isdigit() for text in spelt.values())
    fits = max(map(abs, numbers)) <= INTEGER_MAX
    return "integer" if whole and fits else "number", spelt, scan.numbers[words[0]].unit


def _check_sentinels(
    name: str, counts: Counter[str], spelt: Mapping[str, str], hints: Hints
) -> None:
    """Raise DataError for a number such as -999 that is far from all others and comes again."""
    for word, text in spelt.items():
        number = float(text)
        if number not in SENTINELS or counts[word] < 2 or word in hints.values:
            continue
        others = [each for each in map(float, spelt.values()) if each != number]
        if len(others) < SHOWN:
            continue
        below = number < 0 <= min(others)
        above = number > 0 and number > BEYOND * max(map(abs, others))
        if below or above:
            raise DataError(
                f"column {name!r}: {word} stands in {counts[word]} rows, the others are from "
                f"{min(others):g} to {max(others):g}: a value, or none? --missing={word} reads "
                f"no value; --values={word} reads the number"
            )


def _folded(counts: Counter[str], words: Sequence[str]) -> dict[str, str]:
    """Return each word in the commonest spelling of those that differ in case only."""
    spelling: dict[str, str] = {}
    for word in sorted(words, key=lambda word: (-counts[word], word)):
        spelling.setdefault(word.casefold(), word)
    return {word: spelling[word.casefold()] for word in words}


def _alike(name: str, words: Sequence[str]) -> str:
    """Return a note on words that differ in upper and lower case only."""
    seen: dict[str, str] = {}
    for word in words:
        twin = seen.setdefault(word.casefold(), word)
        if twin != word:
            return f"{twin!r} and {word!r} differ in case only; --fold-case {name!r} makes them one"
    return ""


def _check_header(columns: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError where the first row reads as a second header: words above numbers."""
    words = [
        name
        for name, texts in columns.items()
        if texts[0]
        and numeral(texts[0]) is None
        and texts[0].lower() not in MISSING | UNSAID
        and texts[0] not in DASHES
        and _are_numbers([text for text in texts[1:LOOKED_AT] if text])
    ]
    if len(words) >= FEWEST_HEADS:
        row = ", ".join(repr(columns[name][0]) for name in words[:SHOWN])
        raise DataError(
            f"the first row below the header holds words ({row}) where all others hold numbers: a "
            "second header, or units; take one of the two lines out of the file"
        )


def _are_numbers(texts: Sequence[str]) -> bool:
    numbers = sum(1 for text in texts if numeral(text) is not None)
    return len(texts) >= FEW_NUMBERS and numbers >= MOSTLY * len(texts)
