"""Two signatures → whether both answer one question, and predictions in one order of classes.

Positions of classes mean nothing between two models: one class more, or another positive one, and a
code of one is another class of the other.
"""

from typing import Protocol

import numpy as np

from treeline.artifact import Prediction
from treeline.contract.features import Label, Target
from treeline.contract.texts import text_of
from treeline.errors import ComparisonError


class Answering(Protocol):
    """What a model answers, as a signature says it."""

    @property
    def target(self) -> Target:
        """What it predicts."""

    @property
    def classes(self) -> tuple[Label, ...]:
        """Its classes in the order of their codes; none of a regression."""


def check_classes(candidate: Answering, incumbent: Answering) -> None:
    """Raise ComparisonError, in words, unless both predict the same target with the same classes.

    Names and types count (`1` is not the text "1"), their order does not.
    """
    now, before = candidate.target, incumbent.target
    if (now.name, now.task) != (before.name, before.task):
        raise ComparisonError(
            f"it predicts {now.name!r} ({now.task}), the incumbent {before.name!r} "
            f"({before.task}): no metric compares answers to different questions; a person must "
            "decide"
        )
    ours, theirs = ({_key(each): each for each in side.classes} for side in (candidate, incumbent))
    if ours.keys() != theirs.keys():
        pairs = {"more": ours.keys() - theirs.keys(), "fewer": theirs.keys() - ours.keys()}
        change = " and ".join(
            f"{len(keys)} {word} ({', '.join(sorted(repr((ours | theirs)[key]) for key in keys))})"
            for word, keys in pairs.items()
            if keys
        )
        raise ComparisonError(
            f"it knows other classes than the incumbent, {change}, so that no metric compares "
            "them; a person must decide"
        )
    if now.positive is None or before.positive is None:
        return
    if _key(now.positive) != _key(before.positive):
        raise ComparisonError(
            f"its positive class is `{text_of(now.positive)}`, the incumbent's "
            f"`{text_of(before.positive)}`: a figure of one is none of the other; a person must "
            "decide"
        )


def by_name(prediction: Prediction, owner: Answering, other: Answering) -> Prediction:
    """Return a prediction of `owner` with its classes in the order of `other`, which has the same.

    Scores, of shape (n_rows, n_classes), change their columns, and labels their codes.
    """
    if not other.classes:
        return prediction
    places = {_key(each): code for code, each in enumerate(owner.classes)}
    order = np.array([places[_key(each)] for each in other.classes], dtype=np.intp)
    labels, scores = prediction.labels, prediction.scores
    return Prediction(
        labels=None if labels is None else np.argsort(order)[labels],
        scores=None if scores is None else scores[:, order],
        values=prediction.values,
    )


def _key(label: Label) -> tuple[str, Label]:
    """Return what a class is known by: true is not 1, though Python takes them for equal."""
    kind = "truth" if isinstance(label, bool) else "text" if isinstance(label, str) else "number"
    return kind, label
