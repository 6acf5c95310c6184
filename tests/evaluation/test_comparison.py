"""May a candidate take the incumbent's place?"""

import json
from math import inf
from typing import Any

import numpy as np
import pytest

from treeline.artifact import Prediction
from treeline.evaluation.comparison import (
    NonInferiority,
    Rules,
    alpha_spent,
    compare,
    decide,
    sentence,
)
from treeline.records.comparison import Contested
from treeline.records.evaluation import Interval

N = 2000
TRUTH = np.tile([0, 1], N // 2)


def right(share: float, *, probabilities: bool = True, rows: int = N) -> Prediction:
    """Return predictions of which the given share is right, the rows that are wrong at the end."""
    truth = TRUTH[:rows]
    wrong = np.arange(rows) >= round(share * rows)
    labels = np.where(wrong, 1 - truth, truth)
    scores = np.eye(2)[labels] * 0.8 + 0.1
    return Prediction(labels=labels, scores=scores if probabilities else None)


def compared(
    candidate: Prediction, incumbent: Prediction, rules: Rules | dict[str, float], *metrics: str
) -> Any:
    assert candidate.labels is not None
    return compare(
        TRUTH[: len(candidate.labels)],
        {"incumbent": incumbent, "candidate": candidate},
        metrics=list(metrics or ["accuracy", "log_loss"]),
        rules=rules if isinstance(rules, Rules) else Rules(rules),
    )


def lead(value: float, half: float) -> Interval:
    return {"value": value, "low": value - half, "high": value + half}


@pytest.mark.parametrize(
    ("found", "margin", "rows", "look", "outcome"),
    [
        (lead(0.03, 0.02), 0.01, 500, 1, "better"),
        (lead(0.00, 0.009), 0.01, 500, 1, "as good"),
        (lead(-0.002, 0.009), 0.01, 500, 1, "undecided"),
        (lead(-0.005, 0.004), 0.01, 500, 1, "as good"),  # it is worse, by less than the margin
        (lead(0.00, 0.02), 0.01, 500, 1, "undecided"),
        (lead(-0.02, 0.03), 0.01, 500, 1, "undecided"),
        (lead(-0.02, 0.015), 0.01, 500, 1, "worse"),
        (lead(-0.006, 0.005), 0.01, 50_000, 1, "worse"),
        (lead(0.00, 0.02), 0.00, 500, 1, "undecided"),
        (lead(0.00, 0.00), 0.00, 500, 1, "as good"),
        (lead(0.00, 0.009), 0.01, 500, 30, "undecided"),
        (lead(0.00, 0.009), 0.02, 500, 30, "as good"),
        (lead(0.02, 0.015), 0.01, 500, 30, "as good"),  # what is better at one look
    ],
)
def test_a_lead_is_judged_by_its_interval_its_margin_and_the_looks(
    found: Interval, margin: float, rows: int, look: int, outcome: str
) -> None:
    test = NonInferiority("roc_auc", found, margin, rows, look)
    assert test.outcome == outcome


@pytest.mark.parametrize(("value", "outcome"), [(0.1, "undecided"), (-0.1, "worse")])
def test_a_lead_without_an_interval_lets_nothing_pass_as_shown(value: float, outcome: str) -> None:
    none: Interval = {"value": value, "low": None, "high": None}
    assert NonInferiority("roc_auc", none, 0.01, 40).outcome == outcome


@pytest.mark.parametrize(
    ("half", "rows", "margin", "look", "needed"),
    [
        (0.02, 500, 0.01, 1, 6764),  # 500 times the square of 3.605 / 1.96 * 2
        (0.02, 500, 0.02, 1, 1691),
        (0.02, 500, 0.01, 30, 15851),
        (0.02, 500, 0.0, 1, inf),
    ],
)
def test_the_rows_that_would_do_follow_from_the_interval(
    half: float, rows: int, margin: float, look: int, needed: float
) -> None:
    test = NonInferiority("roc_auc", lead(0.0, half), margin, rows, look)
    assert test.rows_needed == pytest.approx(needed, rel=1e-3)


def test_labels_that_are_alike_on_few_rows_prove_little() -> None:
    """By accuracy no resample differs where no row does: 0 (0 to 0) is no proof on 40 rows."""
    assert NonInferiority("accuracy", lead(0, 0), 0.01, 40).outcome == "undecided"
    assert NonInferiority("accuracy", lead(0, 0), 0.01, 400).outcome == "as good"


@pytest.mark.parametrize("looks", [1, 30, 3650])
def test_all_looks_together_spend_no_more_than_one_in_twenty(looks: int) -> None:
    assert sum(alpha_spent(look) for look in range(1, looks + 1)) < 0.05


@pytest.mark.parametrize(
    ("candidate", "allowed", "passed"),
    [(0.9, 0.0, True), (0.8, 0.0, True), (0.79, 0.02, True), (0.75, 0.04, False), (0.7, 0, False)],
    ids=["better", "the same", "less far down than allowed", "further", "worse"],
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
    assert reason.endswith("it is worse, or may be by more than that; a drop of 0.01 is allowed")


@pytest.mark.parametrize(
    ("metric", "margin"), [("accuracy", "0.01"), ("log_loss", "0.00545")], ids=["score", "error"]
)
def test_without_a_declared_drop_the_first_metric_may_drop_by_a_hundredth(
    metric: str, margin: str
) -> None:
    found = compared(right(0.9), right(0.8), {}, metric)
    (reason,) = found["verdict"]["reasons"]
    assert reason.endswith(f"it is better; a drop of {margin} is allowed where none is declared")
    assert not compared(right(0.7), right(0.8), {}, metric)["verdict"]["passed"]


def test_models_that_predict_the_same_need_no_interval() -> None:
    found = compared(right(0.8, rows=20), right(0.8, rows=20), {})
    assert found["verdict"] == {
        "passed": True,
        "reasons": ["accuracy held: both models predict the same for all 20 rows"],
    }


@pytest.mark.parametrize("undecided", ["refuse", "pass"])
def test_what_the_rows_cannot_tell_is_said_with_how_many_would(undecided: Any) -> None:
    rules = Rules({"accuracy": 0.01}, undecided=undecided)
    found = compared(right(0.85, rows=100), right(0.84, rows=100), rules)
    (reason,) = found["verdict"]["reasons"]
    assert found["verdict"]["passed"] is (undecided == "pass")
    assert "; whether it is worse cannot be told with 100 rows; " in reason
    assert " would do" in reason and reason.endswith("a drop of 0.01 is allowed")
    assert ("`undecided: pass` lets it" in reason) is (undecided == "pass")


def test_a_later_look_is_said_and_asks_for_more() -> None:
    first = compared(right(0.79), right(0.8), Rules({"accuracy": 0.016}))
    later = compared(right(0.79), right(0.8), Rules({"accuracy": 0.016}, look=100))
    assert first["verdict"]["passed"] and not later["verdict"]["passed"]
    assert "and this is look 100 at this incumbent" in later["verdict"]["reasons"][0]


def test_every_declared_metric_has_to_hold() -> None:
    found = compared(right(0.75), right(0.8), {"accuracy": 0.1, "log_loss": 0})
    assert not found["verdict"]["passed"]
    assert [reason.split(":")[0] for reason in found["verdict"]["reasons"]] == [
        "accuracy fell",
        "log_loss rose",
    ]


@pytest.mark.parametrize("newer", [True, False], ids=["candidate", "incumbent"])
def test_a_metric_that_only_one_gives_lets_nothing_pass(newer: bool) -> None:
    pair = (right(0.9), right(0.8, probabilities=False))
    candidate, incumbent = pair if newer else pair[::-1]
    found = compared(candidate, incumbent, {"log_loss": 1})
    assert not found["verdict"]["passed"]
    assert found["verdict"]["reasons"] == [
        "log_loss is not given by both models, so its drop is not known; "
        "declare the drop of a metric that both give"
    ]


def test_a_candidate_worse_than_the_incumbent_is_refused_in_words() -> None:
    found: Contested = {
        "incumbent": {"f1": {"value": 0.85, "low": 0.8, "high": 0.9}},
        "candidate": {"f1": {"value": 0.8, "low": 0.75, "high": 0.85}},
        "advantage": {"incumbent": {"f1": {"value": -0.05, "low": -0.08, "high": -0.02}}},
    }
    verdict = decide(found, Rules({"f1": 0.01}), "f1", rows=200)
    assert not verdict.passed
    assert verdict.reasons == (
        "f1 fell: 0.85 before, 0.8 now, a lead of -0.05 (-0.08 to -0.02); it is worse, or may be "
        "by more than that; a drop of 0.01 is allowed",
    )


def test_a_comparison_is_plain_json() -> None:
    found = compared(right(0.9), right(0.8), {"accuracy": 0})
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_comparison_is_told_with_its_verdict_and_a_table() -> None:
    found = compared(right(0.9), right(0.8), {"accuracy": 0})
    text = sentence("iris", found, base="main | 1a2b", notes=["7 rows left out"])
    lines = text.splitlines()
    assert lines[0] == "## iris may ship"
    assert "- accuracy held: 0.8 before, 0.9 now, a lead of 0.1 (" in text
    assert "- 7 rows left out" in lines
    assert "On the same 2,000 test rows" in text
    assert r"| metric | candidate | incumbent (main \| 1a2b) | lead |" in lines
    assert any(line.startswith("| log_loss | 0.3251 | 0.5448 | 0.2197 (") for line in lines)


def test_a_refused_candidate_is_told_first() -> None:
    text = sentence("iris", compared(right(0.7), right(0.8), {}), base="main")
    assert text.startswith("## iris must not ship\n\n- accuracy fell: 0.8 before, 0.7 now")
