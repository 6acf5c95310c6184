"""What proved to be true → the class that it says, in the type of the class; or why it is none.

A class is met however it is spelt, as where rows are prepared: 1 by 1, 1.0, "1" and true. What is
kept has the type of the prediction, so that the two are joined and compared without conversions.
"""

import hashlib
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from pydantic_core import from_json, to_json

from treeline.contract.features import Label, whole
from treeline.contract.problems import MAX_NAMES, listed, shown
from treeline.contract.signature import Signature
from treeline.contract.texts import TRUTHS, number_of, text_of

TAG_DIGITS = 8


class WrongTruthError(ValueError):
    """A value is none that the target can have; `admitted` are its classes, if it has some."""

    def __init__(self, text: str, admitted: tuple[str, ...] | None = None) -> None:
        super().__init__(text)
        self.admitted = admitted


class Truths:
    """What may prove to be true of the predictions of one model."""

    def __init__(self, name: str, classes: Iterable[Label], *, task: str) -> None:
        self._name, self._task = name, task
        self._texts = {text_of(each): each for each in classes}
        texts = self._texts.values()
        self._numbers = {each: each for each in texts if type(each) in (int, float)}
        self._words = {bool(each): each for each in texts if each in (0, 1)}
        if len(self._texts) != 2 or len(self._words) != 2:
            self._words = {}
        document = to_json([name, task, list(self._texts)])
        self.tag = hashlib.sha256(document).hexdigest()[:TAG_DIGITS]
        """How the ids of predictions begin whose truths these are."""

    @classmethod
    def of(cls, signature: Signature) -> "Truths":
        """Return what may prove to be true of the predictions of an exported model."""
        return cls(signature.name, signature.classes, task=signature.target.task)

    def taken(self, given: Label) -> Label:
        """Return what a value says, as the target has it; raises WrongTruthError."""
        return self._number(given) if self._task == "regression" else self._class(given)

    def _number(self, given: Label) -> float:
        number = number_of(given) if isinstance(given, str) else given
        if isinstance(number, str | bool) or not isfinite(number):
            raise WrongTruthError(
                f"{shown(given)} is no value of {self._name}; give a finite number"
            )
        return float(number)

    def _class(self, given: Label) -> Label:
        text = text_of(whole(given))
        if text in self._texts:
            return self._texts[text]
        number: Any = number_of(text)
        if number in self._numbers:
            return self._numbers[number]
        truth = TRUTHS.get(text.lower())
        if truth is not None and truth in self._words:
            return self._words[truth]
        raise WrongTruthError(
            f"{shown(given)} is no class of {self._name}; its classes are {listed(self._texts)}",
            tuple(self._texts) if len(self._texts) <= MAX_NAMES else None,
        )


def kind_of(value: object) -> str:
    """Name the kind of what was predicted: truths and texts are no numbers."""
    return {bool: "a truth", str: "a text"}.get(type(value), "a number")


def like(given: Label, predicted: Any, shares: Mapping[str, Any] | None) -> Label:
    """Return a truth of a model that is served no more, held against what it predicted.

    Raises WrongTruthError where it is none of the classes that had a probability, or, where these
    are not known, no value of that kind.
    """
    if isinstance(predicted, dict | list) or predicted is None:
        return given
    if shares:
        classes = shares if isinstance(predicted, str) else map(from_json, shares)
        return Truths("its model", classes, task="multiclass").taken(given)
    if kind_of(given) != kind_of(predicted):
        raise WrongTruthError(
            f"{shown(given)} is {kind_of(given)}, and the prediction is {kind_of(predicted)}: "
            f"{shown(predicted)}"
        )
    return given
