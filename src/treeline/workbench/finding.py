"""What a look at a class of one's own finds."""

from dataclasses import dataclass
from typing import Literal

Word = Literal["ok", "wrong", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: good, wrong, or to be known."""

    word: Word
    text: str


def held(good: bool, right: str, wrong: str) -> Finding:
    """Return that something is kept, or in which words it is not."""
    return Finding("ok", right) if good else Finding("wrong", wrong)
