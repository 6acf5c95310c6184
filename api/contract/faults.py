"""What is wrong with the rows of a part: counted for all of them, said of the first ones."""

from collections.abc import Iterable
from dataclasses import dataclass

from api.contract.validation import MAX_PROBLEMS
from treeline.contract.problems import shown
from treeline.errors import Problem

MOST_NAMED = 200  # characters of a place: the longest name that a feature may have
MOST_SAID = 1000  # characters of a message
MOST_ADMITTED = 100  # categories that are repeated with each problem
PLAIN = (bool, float, type(None))
WHOLE_MAX = 1 << 64


@dataclass(frozen=True)
class Fault:
    """Why a row is bad: how many problems it has, and the first of them where they are said."""

    count: int
    problems: tuple[Problem, ...] = ()


class Faults:
    """Collects the bad rows of a part by their positions."""

    def __init__(self, most_explained: int) -> None:
        """Keep what is wrong with so many rows, and count the problems of all others."""
        self.found: dict[int, Fault] = {}
        self._left = most_explained

    @property
    def explaining(self) -> bool:
        """Whether what is wrong with one more row is kept."""
        return self._left > 0

    def explain(self, row: int, problems: Iterable[Problem]) -> None:
        """Keep what is wrong with a row, cut to what can be repeated."""
        listed = list(problems)
        self._left -= 1
        self.found[row] = Fault(len(listed), tuple(map(short, listed[:MAX_PROBLEMS])))

    def count(self, row: int, problems: int) -> None:
        """Note how many problems a row has."""
        self.found[row] = Fault(problems)


def short(problem: Problem) -> Problem:
    """Return a problem without what is too long to be kept."""
    value, admitted = problem.value, problem.admitted
    if isinstance(value, str):
        value = value[: MOST_NAMED + 1]
    elif not isinstance(value, PLAIN) and not (isinstance(value, int) and abs(value) < WHOLE_MAX):
        value = shown(value)
    if admitted is not None and len(admitted) > MOST_ADMITTED:
        admitted = None
    return Problem(problem.place[:MOST_NAMED], problem.message[:MOST_SAID], value, admitted)
