"""How numbers are spelt → which of comma and point is their decimal mark, and their plain form.

A mark in front of exactly three digits may separate thousands. Other numbers of the column decide
then, those of other columns next, and a person last.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from treeline.contract.texts import NUMBER
from treeline.drafting.hints import Hints, Mark
from treeline.errors import DataError

Evidence = Literal["whole", "long", "point", "comma", "point?", "comma?"]

GROUPED = re.compile(r"[+-]?\d{1,3}([ '\u2019\u00a0\u202f]\d{3})+(?!\d)")
GAPS = re.compile(r"[ '\u2019\u00a0\u202f]")
EXPONENT = r"([eE][+-]?\d+)?"
_FORMS: tuple[tuple[Evidence, str], ...] = (
    ("point?", r"[1-9]\d{0,2}\.\d{3}"),
    ("comma?", r"[1-9]\d{0,2},\d{3}"),
    ("long", r"\d{4,}"),
    ("whole", r"\d+" + EXPONENT),
    ("point", r"(\d+\.\d*|\.\d+)" + EXPONENT),
    ("comma", r"(\d+,\d*|,\d+)" + EXPONENT),
    ("point", r"[1-9]\d{0,2}(,\d{3})+\.\d*"),
    ("comma", r"[1-9]\d{0,2}(\.\d{3})+,\d*"),
    ("point", r"[1-9]\d{0,2}(,\d{3}){2,}"),
    ("point", r"[1-9]\d?(,\d{2})+,\d{3}(\.\d*)?"),
    ("comma", r"[1-9]\d{0,2}(\.\d{3}){2,}"),
)
FORMS = tuple((name, re.compile(r"[+-]?" + form, re.ASCII)) for name, form in _FORMS)
MONEY = "$€£¥"
_SHARES = "% \u2030 \u00b0C \u00b0F \u00b0 W kW kWh V A Hz USD EUR GBP"
_SIZES = "kg g mg \u00b5g t lb oz km m cm mm \u00b5m ha m\u00b2 m2 l ml s ms min h"
UNITS = "|".join(f"{_SHARES} {_SIZES}".split())
SUFFIXED = re.compile(rf"(?P<number>.*\d)\s*(?P<unit>{UNITS}|[{MONEY}])")
PREFIXED = re.compile(rf"(?P<sign>[+-]?)(?P<unit>[{MONEY}])\s*(?P<number>.*\d)")
BRACKETED = re.compile(r"\((?P<number>[^()]*\d)\)")


@dataclass(frozen=True)
class Numeral:
    """A number as it is spelt, without its unit; `evidence` says what the spelling tells."""

    text: str
    unit: str
    evidence: Evidence


def numeral(text: str) -> Numeral | None:
    """Return the number that a text spells in any of the usual ways, None for no number."""
    bare, unit = text.replace("\u2212", "-"), ""
    if (bracketed := BRACKETED.fullmatch(bare)) is not None:
        bare = f"-{bracketed['number']}"  # as accounts write what is owed
    for form in (SUFFIXED, PREFIXED):
        if (match := form.fullmatch(bare)) is not None:
            bare, unit = match.groupdict().get("sign", "") + match["number"], match["unit"]
            break
    if GROUPED.match(bare):
        rest = GROUPED.sub("", bare, count=1)
        bare = GAPS.sub("", bare[: len(bare) - len(rest)]) + rest
    evidence = next((name for name, form in FORMS if form.fullmatch(bare)), None)
    return None if evidence is None else Numeral(bare, unit, evidence)


def plain(number: Numeral, mark: Mark) -> str:
    """Return a number with a decimal point and no other mark; raises DataError for another mark."""
    between, decimal = (",", ".") if mark == "point" else (".", ",")
    bare = number.text.replace(between, "").replace(decimal, ".")
    if number.evidence == ("comma" if mark == "point" else "point") or not NUMBER.fullmatch(bare):
        raise DataError(f"{number.text!r} has another decimal mark than the rest; correct it")
    return bare


def marks(columns: Mapping[str, Iterable[Numeral]], hints: Hints) -> dict[str, Mark]:
    """Return the decimal mark of each column of numbers; raises DataError where it is open."""
    seen = {name: _spellings(numbers) for name, numbers in columns.items()}
    own = {name: _own(name, spellings, hints) for name, spellings in seen.items()}
    sure = {mark for mark in own.values() if mark is not None}
    decided: dict[str, Mark] = {}
    for name, spellings in seen.items():
        mark = own[name]
        if mark is None and (spellings.keys() & {"point?", "comma?"}):
            mark = hints.decimal or (next(iter(sure)) if len(sure) == 1 else None)
            if mark is None:
                raise DataError(_question(name, spellings))
        decided[name] = mark or "point"
    return decided


def _spellings(numbers: Iterable[Numeral]) -> dict[Evidence, list[str]]:
    spellings: dict[Evidence, list[str]] = {}
    for number in numbers:
        spellings.setdefault(number.evidence, []).append(number.text)
    return spellings


def _own(name: str, spellings: dict[Evidence, list[str]], hints: Hints) -> Mark | None:
    """Return the mark that a column shows by itself.

    One that spells 1234 does not group thousands: in it 1.234 has decimals.
    """
    if "point" in spellings and "comma" in spellings:
        raise DataError(
            f"column {name!r} has both decimal marks: {spellings['comma'][0]!r} and "
            f"{spellings['point'][0]!r}; correct the file, or leave the column out by "
            f"--leave-out {name!r}"
        )
    for mark in ("point", "comma"):
        if mark in spellings:
            return "point" if mark == "point" else "comma"
    if hints.decimal is None and "long" in spellings:
        if "point?" in spellings and "comma?" not in spellings:
            return "point"
        if "comma?" in spellings and "point?" not in spellings:
            return "comma"
    return None


def _question(name: str, spellings: dict[Evidence, list[str]]) -> str:
    example = (spellings.get("point?") or spellings["comma?"])[0]
    number = Numeral(example, "", "point?" if "." in example else "comma?")
    return (
        f"column {name!r}: {example!r} can be read in two ways, and no other number of the file "
        f"tells which. --decimal point reads {plain(number, 'point')}; --decimal comma reads "
        f"{plain(number, 'comma')}"
    )
