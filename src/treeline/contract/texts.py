"""Texts → what they say, and values → texts: one rule for training and serving.

A field of a CSV says a number or a truth; a value is shown as people and JSON write it.
"""

import re
from unicodedata import normalize

from pydantic_core import to_json

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
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
