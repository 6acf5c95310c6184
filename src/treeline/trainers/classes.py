"""Options that name classes: as the declaration names them ↔ as estimators know them.

An estimator sees the code of a class, its position among them: with `positive: 0` the class 0 has
the code 1. A declaration names classes as the data do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from treeline.config.models import Candidate
from treeline.contract.features import Label
from treeline.contract.texts import text_of
from treeline.errors import TrainingError
from treeline.trainers.options import with_options

BY_CLASS = frozenset({"class_weight", "class_weights"})  # a mapping whose keys are classes
IN_ORDER = frozenset({"priors", "class_prior"})  # a number for each class, in order


def coded(candidate: Candidate, classes: Sequence[Label], *, place: str) -> Candidate:
    """Return a candidate whose options and search speak of codes; raises TrainingError."""

    def option(name: str, value: Any) -> Any:
        where = f"{place}.{name}"
        if name in BY_CLASS and isinstance(value, Mapping):
            return {_code(key, classes, where): weight for key, weight in value.items()}
        if name in IN_ORDER and value is not None:
            return ordered(value, classes, place=where)
        return value

    return with_options(candidate, option)


def checkable(candidate: Candidate, *, place: str) -> Candidate:
    """Return a candidate as an estimator may look at it before classes are known.

    Raises TrainingError.
    """

    def option(name: str, value: Any) -> Any:
        if name in IN_ORDER and value is not None:
            return list(_by_class(value, f"{place}.{name}").values())
        return value

    return with_options(candidate, option)


def named(setting: Mapping[str, Any], classes: Sequence[Label]) -> dict[str, Any]:
    """Return the values of a search as they were declared."""

    def declared(name: str, value: Any) -> Any:
        if name in BY_CLASS and isinstance(value, Mapping):
            return {classes[code]: weight for code, weight in value.items()}
        if name in IN_ORDER and value is not None:
            return dict(zip(classes, value, strict=True))
        return value

    return {name: declared(name, value) for name, value in setting.items()}


def ordered(value: Any, classes: Sequence[Label], *, place: str) -> list[Any]:
    """Return a number for each class, in the order of their codes; raises TrainingError."""
    given = {_code(key, classes, place): number for key, number in _by_class(value, place).items()}
    if lost := [label for code, label in enumerate(classes) if code not in given]:
        raise TrainingError(f"{place} has nothing for the class {text_of(lost[0])!r}; add it")
    return [given[code] for code in range(len(classes))]


def _by_class(value: Any, place: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TrainingError(
            f"{place} is {value!r}, which depends on the order of the classes; give a number for "
            "each by its name, such as {no: 0.7, yes: 0.3}"
        )
    return value


def _code(key: Any, classes: Sequence[Label], place: str) -> int:
    texts = [text_of(label) for label in classes]
    if text_of(key) not in texts:
        raise TrainingError(
            f"{place} names the class {text_of(key)!r}; the classes are {', '.join(texts)}"
        )
    return texts.index(text_of(key))
