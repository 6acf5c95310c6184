"""What is wrong with a request, a record or a row, in our own words and bounded in number.

`explain` is the one way from pydantic's errors to ours. The bad rows of a part are all counted,
and the first ones are explained.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.contract.schemas import LEAVE_OUT
from api.errors import MalformedBodyError
from treeline.contract.features import Feature
from treeline.contract.problems import key_problem, listed, named, shown, value_problem
from treeline.errors import InvalidInputError, Problem

BODY = "body"
MAX_PROBLEMS = 100  # a body of garbage must not make an answer many times its size


def explain(
    error: ValidationError, problem: Callable[[ErrorDetails], Problem], *, what: str = "body"
) -> MalformedBodyError | InvalidInputError:
    """Return the error to raise for JSON that pydantic refuses.

    `problem` says what is behind an entry; `what` the JSON is, for one that cannot be read.
    """
    entries = error.errors(include_url=False, include_context=False)
    if entries[0]["type"] == "json_invalid":
        reason = entries[0]["msg"].removeprefix("Invalid JSON: ")
        return MalformedBodyError(f"The {what} is not JSON: {reason}")
    more = max(0, len(entries) - MAX_PROBLEMS)
    return InvalidInputError(bounded([problem(each) for each in entries[:MAX_PROBLEMS]], more=more))


def plain_problem(entry: ErrorDetails) -> Problem:
    """Return the problem behind one entry in pydantic's own words."""
    return Problem(place_of(entry["loc"]), entry["msg"], entry["input"])


def place_of(parts: Iterable[int | str]) -> str:
    """Return the name of a place in a document; the body itself has none."""
    return ".".join(map(str, parts)) or BODY


def bounded(problems: list[Problem], *, more: int = 0) -> list[Problem]:
    """Return the first problems, and how many there are besides; `more` are in no list."""
    more += len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    return [*problems[:MAX_PROBLEMS], Problem(BODY, f"and {more} more problems")]


def problem_of(entry: ErrorDetails, features: Mapping[str, Feature]) -> Problem:
    """Return the problem behind one entry of a validation error."""
    kind, value = entry["type"], entry["input"]
    if not entry["loc"]:
        wanted = "one JSON object whose keys are the features"
        wrong = named(value) if kind == "dict_type" else "not admitted"
        return Problem(BODY, f"{shown(value)} is {wrong}; give {wanted}", value)
    name = str(entry["loc"][0])
    if kind == "extra_forbidden":
        known = listed(features)
        text = f"is not a feature of this model; its features are: {known}. {LEAVE_OUT}"
        return Problem(name, text, value)
    feature = features.get(name)
    if feature is None:  # then it is the caller's own key
        return key_problem(name, value)
    return value_problem(name, feature, None if kind == "missing" else value)


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
        self.by_row: dict[int, Fault] = {}
        self._left = most_explained

    @property
    def explaining(self) -> bool:
        """Whether what is wrong with one more row is kept."""
        return self._left > 0

    def explain(self, row: int, problems: Iterable[Problem]) -> None:
        """Keep what is wrong with a row, cut to what can be repeated."""
        listed = list(problems)
        self._left -= 1
        self.by_row[row] = Fault(len(listed), tuple(map(short, listed[:MAX_PROBLEMS])))

    def count(self, row: int, problems: int) -> None:
        """Note how many problems a row has."""
        self.by_row[row] = Fault(problems)


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
