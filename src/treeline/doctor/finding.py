"""One thing that was looked at: where, how it stands, in words, and the way out."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

HIDDEN = "***"  # stands for the value of a secret


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    OPTIONAL = "optional"  # not there; something is left out for want of it
    WRONG = "wrong"  # required and not there, or there and of no use


@dataclass(frozen=True)
class Finding:
    """What was found in one place, and the way out where one is needed."""

    state: State
    place: str
    found: str
    way_out: str = ""

    def told(self, secrets: Iterable[str] = ()) -> str:
        """Return it as one line, in which no secret appears."""
        way_out = f"; {self.way_out}" if self.way_out else ""
        line = " ".join(f"{self.place}: {self.found}{way_out}".split())
        for secret in sorted({" ".join(each.split()) for each in secrets} - {""}, key=len)[::-1]:
            line = line.replace(secret, HIDDEN)
        return f"{self.state:<8}  {line}"
