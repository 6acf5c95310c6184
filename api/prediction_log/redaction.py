"""`API_PREDICTION_LOG_REDACT` → which features of a model are never recorded.

Names are compared after the JSON was read, never in its bytes: one name can be written in many
ways (`"S\\u006fil"`), twice in one object, or as the `name` of a tensor.
"""

from collections.abc import Collection, Iterable
from typing import Any

from pydantic_core import from_json, to_json

UNREADABLE = b"null"
NAME = "name"
OF_A_TENSOR = frozenset({NAME, "datatype", "shape"})  # what stays of one that is redacted


class Redaction:
    """Which features must not reach the disk: `Soil` of every model, `tree-survival.Soil` of one.

    The name of a feature may have a dot in it. Where an entry can be read both ways, it is.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._everywhere = frozenset(entries)
        self._of_one: dict[str, set[str]] = {}
        for entry in self._everywhere:
            model, dot, feature = entry.partition(".")
            if dot:
                self._of_one.setdefault(model, set()).add(feature)
        self.active = bool(self._everywhere)
        """Whether anything is redacted at all; where it is not, nothing need be read."""

    def of(self, model: str) -> frozenset[str]:
        """Return the names that are not recorded of a model; it need not have them."""
        return self._everywhere | self._of_one.get(model, set())

    def applied(self, features: bytes, answer: bytes) -> bytes:
        """Return the JSON of what was asked with null in the place of what is not recorded.

        It is written anew from what was read, so nothing of its bytes stays. Where it cannot be
        read, none of it is recorded.
        """
        try:
            asked, model = from_json(features), str(from_json(answer).get("model"))
        except ValueError:
            return UNREADABLE
        return to_json(without(asked, self.of(model)))


def without(value: Any, hidden: Collection[str]) -> Any:
    """Return a value of JSON with null for what has a hidden name, however deep it stands.

    A name is a key, or the `name` of an object that describes a tensor.
    """
    if isinstance(value, list):
        return [without(each, hidden) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get(NAME), str) and value[NAME] in hidden:
        return {key: each if key in OF_A_TENSOR else None for key, each in value.items()}
    return {key: None if key in hidden else without(each, hidden) for key, each in value.items()}
