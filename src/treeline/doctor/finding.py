"""One thing that was looked at: where, how it stands, in words, and the way out."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
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
    message: str
    way_out: str = ""

    def to_line(self, secrets: Iterable[str] = ()) -> str:
        """Return it as one line, in which no secret appears."""
        way_out = f"; {self.way_out}" if self.way_out else ""
        return f"{self.state:<8}  {_masked(f'{self.place}: {self.message}{way_out}', secrets)}"

    def to_dict(self, secrets: Iterable[str] = ()) -> dict[str, str]:
        """Return it as plain data, in which no secret appears."""
        hidden = list(secrets)
        return {name: _masked(str(value), hidden) for name, value in asdict(self).items()}


def _masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text on one line, with each secret hidden, the longest first."""
    line = " ".join(text.split())
    for secret in sorted({" ".join(each.split()) for each in secrets} - {""}, key=len)[::-1]:
        line = line.replace(secret, HIDDEN)
    return line
