"""May a candidate take the incumbent's place?"""

import json
from typing import Any

import numpy as np
import pytest

from treeline.artifact.prediction import Prediction
from treeline.comparison import compare, decide, told

N = 100
TRUTH = np.tile([0, 1], N // 2)


def right(share: float, *, probabilities: bool = True) -> Prediction:
    """Return predictions of which the given share is right."""
    wrong = np.arange(N) >= round(share * N)
    labels = np.where(wrong, 1 - TRUTH, TRUTH)
    scores = np.eye(2)[labels] * 0.8 + 0.1
    return Prediction(labels=labels, scores=scores if probabilities else None)


def compared(
    candidate: Prediction, incumbent: Prediction, may_drop_by: dict[str, float], *metrics: str
) -> Any:
    return compare(
        TRUTH,
        {"incumbent": incumbent, "candidate": candidate},
        metrics=list(metrics or ["accuracy", "log_loss"]),
        may_drop_by=may_drop_by,
    )


@pytest.mark.parametrize(
    ("candidate", "allowed", "passed"),
    [(0.9, 0.0, True), (0.8, 0.0, True), (0.75, 0.05, True), (0.75, 0.04, False), (0.7, 0, False)],
    ids=["better", "equal", "as far down as allowed", "further", "worse"],
)
def test_a_candidate_may_drop_by_what_is_allowed(
    candidate: float, allowed: float, passed: bool
) -> None:
    found = compared(right(candidate), right(0.8), {"accuracy": allowed})
    assert found["verdict"]["passed"] is passed


def test_an_error_that_rises_is_a_drop() -> None:
    found = compared(right(0.7), right(0.8), {"log_loss": 0.01})
    assert not found["verdict"]["passed"]
    (reason,) = found["verdict"]["reasons"]
    assert reason.startswith("log_loss rose: 0.5448 before, 0.7645 now, a lead of -0.2197 (")
    assert reason.endswith("; a drop of 0.01 is allowed")


def test_without_a_declared_drop_the_first_metric_may_not_drop() -> None:
    assert not compared(right(0.79), right(0.8), {})["verdict"]["passed"]
    assert compared(right(0.8), right(0.8), {})["verdict"]["passed"]


def test_every_declared_metric_has_to_hold() -> None:
    found = compared(right(0.75), right(0.8), {"accuracy": 0.1, "log_loss": 0})
    assert not found["verdict"]["passed"]
    assert [reason.split(":")[0] for reason in found["verdict"]["reasons"]] == [
        "accuracy fell",
        "log_loss rose",
    ]


@pytest.mark.parametrize("newer", [True, False], ids=["candidate", "incumbent"])
def test_a_metric_that_only_one_gives_lets_nothing_pass(newer: bool) -> None:
    pair = [right(0.9), right(0.8, probabilities=False)]
    found = compared(*(pair if newer else pair[::-1]), {"log_loss": 1})
    assert not found["verdict"]["passed"]
    assert found["verdict"]["reasons"] == [
        "log_loss is not given by both models, so its drop is not known; "
        "declare the drop of a metric that both give"
    ]


def test_a_candidate_worse_than_the_incumbent_is_refused_in_words() -> None:
    side = {"value": 0.85, "low": 0.8, "high": 0.9}
    found = {
        "incumbent": {"f1": side},
        "candidate": {"f1": side | {"value": 0.8}},
        "advantage": {"incumbent": {"f1": {"value": -0.05, "low": -0.08, "high": -0.02}}},
    }
    verdict = decide(found, {"f1": 0.01})
    assert not verdict.passed
    assert verdict.reasons == (
        "f1 fell: 0.85 before, 0.8 now, a lead of -0.05 (-0.08 to -0.02); a drop of 0.01 is "
        "allowed",
    )


def test_a_comparison_is_plain_json() -> None:
    found = compared(right(0.9), right(0.8), {"accuracy": 0})
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_comparison_is_told_with_its_verdict_and_a_table() -> None:
    text = told("iris", compared(right(0.9), right(0.8), {"accuracy": 0}), base="main | 1a2b")
    lines = text.splitlines()
    assert lines[0] == "## iris may ship"
    assert "- accuracy held: 0.8 before, 0.9 now, a lead of 0.1 (" in text
    assert "On the same 100 test rows" in text
    assert r"| metric | candidate | incumbent (main \| 1a2b) | lead |" in lines
    assert any(line.startswith("| log_loss | 0.3251 | 0.5448 | 0.2197 (") for line in lines)


def test_a_refused_candidate_is_told_first() -> None:
    text = told("iris", compared(right(0.7), right(0.8), {}), base="main")
    assert text.startswith("## iris must not ship\n\n- accuracy fell: 0.8 before, 0.7 now")
