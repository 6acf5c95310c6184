"""What lets a person decide: slices, thresholds, calibration, and whether more rows would help."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from treeline.artifact import Prediction
from treeline.config.blocks import Costs
from treeline.config.models import ModelSpec
from treeline.evaluation.diagnostics import STEPS, calibration, learning_curve, sliced, thresholds
from treeline.evaluation.intervals import Repeat
from treeline.evaluation.metrics import brier
from treeline.evaluation.units import Units

N = 400
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, N)
KIND = np.where(np.arange(N) < 300, "oak", np.where(np.arange(N) < 390, "maple", "rare"))
TABLE = pd.DataFrame({"kind": KIND, "again": np.char.upper(KIND), "site": np.arange(N) % 2})


def labels(wrong_in: str) -> Prediction:
    """Return labels that are right but for half the rows of one kind."""
    odd = (wrong_in == KIND) & (np.arange(N) % 2 == 1)
    return Prediction(labels=np.where(odd, 1 - TRUTH, TRUTH))


def declared(declaration: dict[str, Any], **evaluation: Any) -> ModelSpec:
    kinds = {"type": "category", "categories": ["maple", "oak", "rare"]}
    upper = {"type": "category", "categories": ["MAPLE", "OAK", "RARE"]}
    declaration["features"] = {"kind": kinds, "again": upper, "light": {"type": "number"}}
    declaration["source"]["columns"] |= {"site": "integer"}
    declaration |= {"champion": {"metric": "accuracy"}, "evaluation": evaluation}
    return ModelSpec.model_validate(declaration)


def slices(spec: ModelSpec, *, units: Units | None = None) -> Any:
    repeat = {"champion": labels("maple"), "baseline": labels("oak")}
    return sliced(TABLE, TRUTH, [Repeat(repeat)], spec, units=units or Units.rows(N))


def test_slices_are_the_values_of_categories(declaration: dict[str, Any]) -> None:
    """A slice of ten rows tells nothing, and one by another name is not told twice."""
    found = slices(declared(declaration))
    assert [(each["slice"], each["rows"], each["value"]) for each in found] == [
        ("maple", 90, 0.5),
        ("oak", 300, 1),
    ]
    maple, oak = found
    assert maple["low"] < 0.5 < maple["high"]
    assert (maple["baseline"], oak["baseline"]) == (1, 0.5)
    assert maple["lead"]["high"] < 0 < oak["lead"]["low"]


def test_slices_can_be_declared(declaration: dict[str, Any]) -> None:
    found = slices(declared(declaration, slices=["site"]))
    assert [(each["column"], each["slice"]) for each in found] == [("site", "0"), ("site", "1")]
    assert slices(declared(declaration, slices=[])) == []


def test_a_slice_of_few_groups_has_no_interval(declaration: dict[str, Any]) -> None:
    units = Units.groups(np.arange(N) // 20)
    maple, oak = slices(declared(declaration), units=units)
    assert maple["low"] is None
    assert oak["low"] is not None


def test_a_threshold_is_counted_by_hand() -> None:
    hit = np.array([True, False, True, False, False])
    score = np.array([0.9, 0.6, 0.5, 0.45, 0.1])
    found = thresholds(hit, score, Costs(false_alarm=1, miss=4))
    assert [entry["threshold"] for entry in found["table"]] == list(STEPS)
    middle = found["table"][4]
    assert middle == {
        "threshold": 0.5,
        "called": 0.6,
        "precision": 0.6667,
        "recall": 1,
        "cost": 20,  # one false alarm in five rows
    }
    assert found["table"][8] == {
        "threshold": 0.9,
        "called": 0.2,
        "precision": 1,
        "recall": 0.5,
        "cost": 80,
    }
    assert found["of_costs"]["threshold"] == 0.2
    assert found["cheapest"]["cost"] == 20
    assert "cost" not in thresholds(hit, score, None)["table"][0]


def test_the_line_of_the_costs_is_the_cheapest_where_probabilities_are_right() -> None:
    share = np.random.default_rng(1).random(200_000)
    hit = np.random.default_rng(2).random(200_000) < share
    found = thresholds(hit, share, Costs(false_alarm=1, miss=3))
    assert found["of_costs"]["threshold"] == 0.25
    assert found["cheapest"]["threshold"] == pytest.approx(0.25, abs=0.03)
    assert found["of_costs"]["cost"] == pytest.approx(found["cheapest"]["cost"], rel=0.01)


@pytest.mark.parametrize(
    ("costs", "line", "called"),
    [
        (Costs(false_alarm=1, miss=100_000), 1e-5, 0.8),  # every row that may be positive at all
        (Costs(false_alarm=100_000, miss=1), 0.99999, 0.0),  # nobody
    ],
)
def test_costs_that_are_far_apart_call_all_that_may_be_or_nobody(
    costs: Costs, line: float, called: float
) -> None:
    hit = np.array([True, False, True, False, False])
    score = np.array([0.5, 0.6, 0.3, 0.2, 0.0])
    found = thresholds(hit, score, costs)
    assert found["of_costs"]["threshold"] == pytest.approx(line, rel=1e-4)
    assert found["of_costs"]["called"] == called
    assert found["cheapest"]["called"] <= called


def of_share(share: Any) -> Prediction:
    return Prediction(labels=(share > 0.5).astype(int), scores=np.column_stack([1 - share, share]))


@pytest.mark.parametrize(("bend", "low", "high"), [(1.0, 0, 0.01), (0.5, 0.1, 0.2)])
def test_calibration_tells_shares_that_are_right_from_bent_ones(
    bend: float, low: float, high: float
) -> None:
    share = np.random.default_rng(1).random(50_000)
    truth = (np.random.default_rng(2).random(50_000) < share).astype(int)
    found = calibration(truth, of_share(share**bend))
    assert found is not None
    assert low <= found["ece"] <= high


def test_the_parts_of_the_brier_score_give_it_back() -> None:
    """Where all scores of a bin are the same, the decomposition is exact (Murphy 1973)."""
    rng = np.random.default_rng(0)
    share = rng.choice([0.05, 0.35, 0.75], 900)
    truth = rng.integers(0, 2, 900)
    found = calibration(truth, of_share(share))
    assert found is not None
    whole = found["reliability"] - found["resolution"] + found["uncertainty"]
    assert whole == pytest.approx(brier(truth, np.column_stack([1 - share, share])), abs=1e-5)


def test_calibration_of_classes_is_that_of_the_likeliest() -> None:
    scores = np.tile([0.6, 0.3, 0.1], (100, 1))
    found = calibration(np.repeat([0, 1], [60, 40]), Prediction(labels=None, scores=scores))
    assert found is not None
    assert found["ece"] == pytest.approx(0, abs=1e-9)


def test_values_have_a_bias_and_a_slope() -> None:
    truth = np.arange(50.0)
    assert calibration(truth, Prediction(values=truth / 2 + 3)) == {
        "bias": -9.25,
        "slope": 2,
        "at_most": 0.14,  # from 0 to 6
    }
    still = calibration(truth, Prediction(values=np.full(50, 3.0)))
    assert still == {"bias": -21.5, "at_most": 0.08}
    assert calibration(TRUTH, labels("oak")) is None


@pytest.mark.parametrize(("columns", "helps"), [(10, True), (1, False)])
def test_more_rows_help_where_the_last_doubling_did(columns: int, helps: bool) -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(1400, columns)).astype(np.float32)
    truth = (rng.random(1400) < 1 / (1 + np.exp(-matrix.sum(axis=1)))).astype(int)
    frame = pd.DataFrame(matrix, columns=[f"f{n}" for n in range(columns)])
    found = learning_curve(
        LogisticRegression(C=100),
        (frame[:400], truth[:400], Units.rows(400)),
        (frame[400:], truth[400:]),
        metric="log_loss",
        seed=0,
    )
    assert [entry["rows"] for entry in found["curve"]] == [50, 100, 200, 400]
    assert found["more_rows_help"] is helps


def test_a_curve_takes_whole_groups_and_leaves_out_draws_without_a_class() -> None:
    truth = np.repeat([0, 0, 0, 0, 0, 0, 0, 1], 10)
    frame = pd.DataFrame({"a": np.arange(80, dtype=np.float32)})
    units = Units.groups(np.arange(80) // 10)
    found = learning_curve(
        LogisticRegression(), (frame, truth, units), (frame, truth), metric="accuracy", seed=0
    )
    assert found["curve"][-1]["rows"] == 80
    assert all(entry["rows"] % 10 == 0 for entry in found["curve"])
    assert found["curve"][0]["rows"] > 10  # one group alone has one class alone
