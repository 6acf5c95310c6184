"""`API_PREDICTION_LOG_REDACT` → which features of a model are never recorded."""

from collections.abc import Iterable

from pydantic_core import from_json, to_json


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
        # What the JSON of an answer has in it when its model is one of these.
        self._marks = [to_json({"model": model})[1:-1] for model in self._of_one]
        self._any_model = any("." not in entry for entry in self._everywhere)

    def of(self, model: str) -> frozenset[str]:
        """Return the names that are not recorded of a model; it need not have them."""
        return self._everywhere | self._of_one.get(model, set())

    def concerns(self, features: bytes, answer: bytes) -> bool:
        """Tell, without reading the JSON, whether there may be something to take out."""
        if not self._everywhere:
            return False
        if self._any_model or any(mark in answer for mark in self._marks):
            return True
        return any(to_json(entry) in features for entry in self._everywhere)

    def applied(self, features: bytes, answer: bytes) -> bytes:
        """Return the JSON of features with null in the place of what is not recorded."""
        record = from_json(features)
        if not isinstance(record, dict):
            return features
        hidden = self.of(str(from_json(answer).get("model")))
        return to_json({key: None if key in hidden else value for key, value in record.items()})
