"""What a model may be called: one rule, wherever a name is a folder, a path, a stage or a label."""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

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
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower())
    joined = re.sub(r"([-_])[-_]+", r"\1", plain).strip("-_")
    return joined[:MOST_CHARACTERS].strip("-_") or "my-model"


def twin_of(name: str, others: Iterable[str]) -> str | None:
    """Return another name that differs in hyphens and underscores only.

    Clients that are generated call both by one name.
    """
    plain = name.replace("_", "-")
    return next((each for each in others if each != name and each.replace("_", "-") == plain), None)
