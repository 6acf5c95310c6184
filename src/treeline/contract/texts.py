"""Texts → what they say, values → texts, and what a model may be called: one rule everywhere.

A field of a CSV says a number or a truth; a value is shown as people and JSON write it. The name of
a model is a folder, a path, a stage and a label.
"""

import re
from collections.abc import Iterable
from typing import Annotated
from unicodedata import combining, normalize

from pydantic import Field
from pydantic_core import to_json

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Letters that have no mark to be taken off; ß is ss when case is folded.
WITHOUT_MARKS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "þ": "th"})
MOST_DIGITS = 300  # of a whole number that a float holds
TRUTHS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def number_of(text: str) -> float | str:
    """Return the number that a field says, whole where it is spelt so, or its text for none."""
    bare = text.strip(" \t")
    if not NUMBER.fullmatch(bare):
        return text
    return int(bare) if len(bare) <= MOST_DIGITS and bare.lstrip("+-").isdigit() else float(bare)


def truth_of(text: str) -> bool | str:
    """Return the truth that a field says in any spelling, or its text where it is none."""
    return TRUTHS.get(text.lower(), text)


def text_of(value: object) -> str:
    """Return a value as JSON writes it, a text without quotes: true rather than True."""
    return value if isinstance(value, str) else to_json(value).decode()


def composed(text: str) -> str:
    """Return a text with each letter and its accents as one character (NFC), as keyboards write it.

    Some systems write them as several, which looks the same.
    """
    return normalize("NFC", text)


MOST_CHARACTERS = 63
WORDS = r"[a-z0-9]+(?:[-_][a-z0-9]+)*"
PATTERN = f"^{WORDS}$"
NAME = re.compile(WORDS)
RULE = (
    "a name is made of lowercase letters and digits, in words joined by single hyphens or "
    "underscores"
)

Slug = Annotated[str, Field(pattern=PATTERN, max_length=MOST_CHARACTERS)]


def is_slug(name: str) -> bool:
    """Tell whether a name is one that a model can have: no path, nothing hidden."""
    return NAME.fullmatch(name) is not None and len(name) <= MOST_CHARACTERS


def slug_of(name: str) -> str:
    """Return a name that a model can have, as much like another as it may be."""
    parts = normalize("NFKD", name.casefold()).translate(WITHOUT_MARKS)
    plain = re.sub(r"[^a-z0-9_-]+", "-", "".join(c for c in parts if not combining(c)))
    joined = re.sub(r"([-_])[-_]+", r"\1", plain).strip("-_")
    return joined[:MOST_CHARACTERS].strip("-_") or "my-model"


def twin_of(name: str, others: Iterable[str]) -> str | None:
    """Return another name that differs in hyphens and underscores only.

    Clients that are generated call both by one name.
    """
    plain = name.replace("_", "-")
    return next((each for each in others if each != name and each.replace("_", "-") == plain), None)
