"""Do two models answer one question, and which of their classes is which?"""

from typing import Any

import numpy as np
import pytest

from tests.tiny_models import IRIS, describe
from treeline.artifact import Prediction
from treeline.contest.matching import by_name, check_classes
from treeline.contract.features import Target
from treeline.contract.signature import Signature
from treeline.errors import ComparisonError

MANY = Target(name="t", task="multiclass")


def signed(target: Target, classes: tuple[Any, ...]) -> Signature:
    tiny = describe(IRIS, scores=[1.0, 0.0, 0.0], payload=b"")
    return tiny.model_copy(update={"target": target, "classes": classes})


def binary(positive: Any, name: str = "t") -> Target:
    return Target(name=name, task="binary", positive=positive)


@pytest.mark.parametrize(
    ("candidate", "incumbent", "words"),
    [
        (signed(MANY, ("a", "b", "c")), signed(MANY, ("a", "b")), "1 more ('c')"),
        (signed(MANY, ("a", "b")), signed(MANY, ("a", "b", "c")), "1 fewer ('c')"),
        (signed(MANY, ("a", "d")), signed(MANY, ("a", "b")), "1 more ('d') and 1 fewer ('b')"),
        (signed(MANY, (1, 2)), signed(MANY, ("1", "2")), "2 more (1, 2) and 2 fewer ('1', '2')"),
        (signed(MANY, (0, 1)), signed(MANY, (False, True)), "2 more (0, 1) and 2 fewer (False"),
        (signed(binary("no"), ("yes", "no")), signed(binary("yes"), ("no", "yes")),
         "its positive class is `no`, the incumbent's `yes`"),
        (signed(binary(1), (0, 1)), signed(binary(1, "u"), (0, 1)), "it predicts 't' (binary)"),
        (signed(binary(1), (0, 1)), signed(MANY, (0, 1)), "the incumbent 't' (multiclass)"),
        (signed(binary(1), (0, 1)), signed(Target(name="t", task="regression"), ()),
         "the incumbent 't' (regression)"),
    ],
    ids=[
        *("one more", "one fewer", "another", "texts of numbers", "truths", "other positive"),
        *("other target", "other task", "values"),
    ],
)  # fmt: skip
def test_models_of_other_classes_are_for_a_person_to_decide(
    candidate: Signature, incumbent: Signature, words: str
) -> None:
    with pytest.raises(ComparisonError) as error:
        check_classes(candidate, incumbent)
    assert words in str(error.value)
    assert str(error.value).endswith("; a person must decide")


@pytest.mark.parametrize(
    ("candidate", "incumbent"),
    [
        (signed(MANY, ("a", "b", "c")), signed(MANY, ("c", "a", "b"))),
        (signed(MANY, (1, 2)), signed(MANY, (1.0, 2.0))),
        (signed(binary("yes"), ("no", "yes")), signed(binary("yes"), ("no", "yes"))),
        (signed(binary(1.0), (0, 1)), signed(binary(1), (0.0, 1.0))),
        (signed(Target(name="t", task="regression"), ()),) * 2,
    ],
    ids=["another order", "whole numbers", "the same", "whole positive", "values"],
)
def test_models_of_the_same_classes_can_be_compared(
    candidate: Signature, incumbent: Signature
) -> None:
    check_classes(candidate, incumbent)


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_classes_are_found_by_name(order: tuple[str, ...]) -> None:
    names = ["b", "a", "c", "c"]
    owner, other = signed(MANY, order), signed(MANY, ("a", "b", "c"))
    labels = np.array([order.index(name) for name in names])
    scores = np.eye(3)[labels] * 0.7 + 0.1
    found = by_name(Prediction(labels=labels, scores=scores), owner, other)
    assert found.labels is not None and found.scores is not None
    assert [other.classes[code] for code in found.labels] == names
    assert np.argmax(found.scores, axis=1).tolist() == found.labels.tolist()


def test_values_stay_as_they_are() -> None:
    owner = signed(Target(name="t", task="regression"), ())
    found = by_name(Prediction(values=np.array([1.5])), owner, owner)
    assert found.values is not None and found.values.tolist() == [1.5]
