"""The model card and the report of a training, as people read them."""

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.tiny_models import DIABETES, SURVIVAL, Recipe, describe
from treeline.contract.signature import Parity, Signature, Verdict
from treeline.records.evaluation import Evaluation, Interval
from treeline.records.summary import Summary
from treeline.records.training import CandidateRecord, Folds, Training, TrialRecord
from treeline.reports.card import card
from treeline.reports.markdown import interval, number, table
from treeline.reports.training import Record, report

SUMMARY: Summary = {
    "rows": {
        "collected": 2783,
        "left_out_by_where": 678,
        "without_target": 1,
        "train": 1649,
        "test": 455,
    },
    "missing": {"EMF": 1287},
    "duplicates": 3,
    "groups": {"train": 14, "test": 4, "on_both_sides": 0},
    "target": {"classes": [0.0, 1.0], "counts": [560, 1545]},
}


def judged(value: float) -> Interval:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


EVALUATION: Evaluation = {
    "champion": {"roc_auc": judged(0.8712345), "accuracy": judged(0.83)},
    "baseline": {"accuracy": judged(0.7)},
    "advantage": {"baseline": {"accuracy": judged(0.13)}},
    "rows": 455,
    "importances": [
        {"feature": "Light_ISF", "loss": 0.21, "deviation": 0.01},
        {"feature": "EMF", "loss": -0.0, "deviation": 0.002},
    ],
}


def candidate(
    folds: Folds, *, settings: dict[str, Any] | None = None, trials: int = 1
) -> CandidateRecord:
    tried: TrialRecord = {"hyperparameters": settings or {}, "folds": folds}
    return {
        "trainer": "sklearn",
        "estimator": "any",
        "hyperparameters": tried["hyperparameters"],
        "folds": folds,
        "trials": [tried] * trials,
    }


RECORD = Record(
    name="tree-survival",
    description="Will this seedling die?",
    summary=SUMMARY,
    training={
        "champion": "boosting",
        "metric": "accuracy",
        "candidates": {
            "baseline": candidate({"accuracy": [0.68, 0.72]}),
            "boosting": candidate(
                {"accuracy": [0.82, 0.84], "roc_auc": [0.85, 0.89]},
                settings={"depth": 3, "rate": 0.123456},
                trials=10,
            ),
        },
    },
    evaluation=EVALUATION,
    verdict=Verdict(passed=True, reasons=("accuracy is 0.83; at least 0.8 was asked",)),
    images=("images/roc.png", "images/calibration.png"),
)


def signature(recipe: Recipe = SURVIVAL, **changed: Any) -> Signature:
    scores = [0.5, 0.5] if recipe.classes else [1.0]
    return describe(recipe, scores=scores, payload=b"").model_copy(update=changed)


def tables(text: str) -> list[list[str]]:
    """Return the tables of a Markdown text, each as its lines."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def texts() -> dict[str, str]:
    return {
        "card": card(signature(), summary=SUMMARY, evaluation=EVALUATION),
        "report": report(RECORD),
    }


@pytest.mark.parametrize("kind", ["card", "report"])
def test_every_table_has_a_header_a_rule_and_rows_of_one_width(kind: str) -> None:
    found = tables(texts()[kind])
    assert len(found) == 3
    for lines in found:
        assert len(lines) > 2
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])
        assert len({cells(line) for line in lines}) == 1


@pytest.mark.parametrize("kind", ["card", "report"])
def test_metrics_are_told_with_intervals_beside_the_baseline(kind: str) -> None:
    lines = texts()[kind].splitlines()
    assert "On 455 rows it never saw, with 95 % intervals; a positive lead is better:" in lines
    assert "| accuracy | 0.83 (0.81 to 0.85) | 0.7 (0.68 to 0.72) | 0.13 (0.11 to 0.15) |" in lines


@pytest.mark.parametrize("kind", ["card", "report"])
def test_a_metric_that_the_baseline_has_not_is_told_all_the_same(kind: str) -> None:
    assert "| roc_auc | 0.8712 (0.8512 to 0.8912) | - | - |" in texts()[kind].splitlines()


@pytest.mark.parametrize("kind", ["card", "report"])
def test_importances_are_told_the_largest_first(kind: str) -> None:
    lines = texts()[kind].splitlines()
    first = lines.index("| `Light_ISF` | 0.21 ± 0.01 |")
    assert lines[first + 1] == "| `EMF` | 0 ± 0.002 |"


@pytest.mark.parametrize("kind", ["card", "report"])
def test_rows_are_told_from_source_to_split(kind: str) -> None:
    lines = texts()[kind].splitlines()
    assert (
        "- 2,783 rows collected; 678 left out by the declared `where`; 1 without a target." in lines
    )
    assert "- 14 groups to learn from, 4 for the test, 0 on both sides." in lines
    assert "- `EMF` is missing in 1,287 rows." in lines
    assert "- 560 of class `0`, 1,545 of class `1`." in lines


def test_a_card_says_what_the_model_is_given_and_why_it_may_be_used() -> None:
    found = card(signature(), summary=SUMMARY, evaluation=EVALUATION)
    assert found.startswith("# tree-survival\n\nWill this seedling die before")
    assert "`Event`: 1 when it died. Classes: `0`, `1`." in found
    assert "- roc_auc 0.9 is above its floor of 0.8" in found
    assert "| `EMF` | a number from 0 to 100, in % of root tips | 0 |  |" in found
    assert "| `Phenolics` | a number | missing |  |" in found
    assert "| `Sterile` | true or false | refused | whether the soil was sterilised |" in found


SPLIT = {
    "rule": "treeline split 1", "by": "group", "names": ["Plot"], "units": 18, "seed": 0,
    "test": 0.2, "share": 0.2793,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "- A row keeps its side for ever: a hash of the group `Plot` decides (18 different "
         "ones); 27.9% of the rows came out for the test, 20.0% declared."),
        ({"by": "key", "names": ["a", "b"], "units": 2105},
         "a hash of the key `a`, `b` decides (2,105 different ones)"),
        ({"by": "values", "names": ["a"]}, "a hash of its features decides (18 different ones)"),
        ({"rule": "drawn"}, "- All rows together were drawn: a row may change its side when one is "
         "added; 27.9% of"),
        ({"rule": "drawn", "seeds": {"tried": 10, "different": 1}},
         "10 seeds draw 1 different splits of the 18 groups: another `split.seed` may change"),
        ({"units": 4}, "declared. So few decide that another `split.seed` gives the same split in "
         "21% of cases."),
        ({"rule": "after", "by": "moment", "names": ["year"], "after": {"year": 2015}},
         "- Rows are for the test where `year` is after 2015: 27.9% of them. Later rows are"),
    ],
    ids=["group", "key", "values", "drawn", "seeds", "few", "after"],
)  # fmt: skip
def test_a_card_says_what_decided_the_side_of_a_row(change: dict[str, Any], words: str) -> None:
    split: Any = SPLIT | change
    summary: Summary = {**SUMMARY, "split": split}
    assert words in card(signature(), summary=summary, evaluation=EVALUATION)


def test_a_card_says_why_a_model_is_served_as_a_pickle() -> None:
    parity = Parity(rows=1455, largest_difference=0, tolerance=1e-5, note="served as a pickle")
    found = card(signature(runtime="pickle", parity=parity), summary=SUMMARY, evaluation=EVALUATION)
    assert "served by the pickle runtime" in found
    assert (
        "- On 1,455 test rows the artifact differs from the estimator by at most 0. It is served "
        "as a pickle." in found
    )


def test_a_card_of_a_regression_has_no_classes() -> None:
    summary: Summary = {**SUMMARY, "target": {"mean": 1.0, "std": 1.0, "min": 0.0, "max": 2.0}}
    found = card(signature(DIABETES), summary=summary, evaluation=EVALUATION)
    assert "`progression` (points)." in found
    assert "lass" not in found


def test_a_report_opens_with_the_verdict_and_its_reasons() -> None:
    refused = Verdict(passed=False, reasons=("f1 is 0.7, but at least 0.8 is asked",))
    assert report(RECORD).startswith("# tree-survival passed the gate\n\nWill this seedling die?")
    assert "- accuracy is 0.83; at least 0.8 was asked" in report(RECORD).splitlines()
    text = report(replace(RECORD, verdict=refused))
    assert text.startswith("# tree-survival was refused at the gate\n")
    assert "- f1 is 0.7, but at least 0.8 is asked" in text.splitlines()


def test_a_report_lists_the_candidates_and_names_the_winner() -> None:
    lines = report(RECORD).splitlines()
    assert "| candidate | accuracy | roc_auc | settings tried |" in lines
    assert "| baseline | 0.7 ± 0.02828 | - | 1 |" in lines
    assert "| **boosting** | 0.83 ± 0.01414 | 0.87 | 10 |" in lines
    assert "**boosting** won with depth 3, rate 0.1235." in lines


def test_a_report_shows_the_pictures() -> None:
    text = report(RECORD)
    assert "![roc](images/roc.png)\n![calibration](images/calibration.png)" in text


def test_a_cell_can_hold_neither_a_bar_nor_a_line_end() -> None:
    found = table(["a", "b | c"], [["x | y", "one\ntwo"]])
    assert found.splitlines() == [
        r"| a | b \| c |",
        "| --- | ---: |",
        r"| x \| y | one two |",
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.87123, "0.8712"), (123456.0, "1.235e+05"), (1.0, "1"), (-0.0, "0"), (float("nan"), "-")],
)
def test_numbers_have_four_digits(value: float, told: str) -> None:
    assert number(value) == told


def test_an_interval_is_told_with_its_ends() -> None:
    assert interval({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.5 (0.4 to 0.6)"


def judged_by(**changed: Any) -> str:
    """Return the report of an evaluation that says more."""
    more: Any = {**EVALUATION, **changed}
    return report(replace(RECORD, evaluation=more))


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((0.11, 0.15), "the baseline 0.7: it is better by 0.13 (0.11 to 0.15)."),
        ((-0.2, -0.1), "the baseline 0.7: **it is worse**, a lead of 0.13 (-0.2 to -0.1)."),
        ((-0.1, 0.2), "a lead of 0.13 (-0.1 to 0.2), which these rows **cannot tell from none**."),
        ((None, None), "a lead of 0.13, which too few rows or groups tell nothing of."),
    ],
    ids=["better", "worse", "undecided", "no interval"],
)
def test_a_report_leads_with_how_good_it_is(ends: tuple[Any, Any], told: str) -> None:
    lead = {"value": 0.13, "low": ends[0], "high": ends[1]}
    text = judged_by(advantage={"baseline": {"accuracy": lead}})
    third = text.split("\n\n")[2]
    assert third.startswith("On 455 rows it never saw, **boosting** has accuracy **0.83 (0.81 to")
    assert third.endswith(told)


def test_a_report_says_which_rows_were_judged() -> None:
    folds = {"by": "folds", "folds": 18, "repeats": 2, "units": "18 groups of Plot"}
    text = judged_by(judged=folds | {"intervals": True})
    assert (
        "On 455 rows in 18 groups of Plot, each predicted by one of 18 refits without it, 2 times "
        "over, with 95 % intervals" in text
    )
    few = {"by": "test split", "folds": None, "repeats": 1, "units": "4 groups of Plot"}
    text = judged_by(judged=few | {"intervals": False})
    assert "without intervals, for 4 groups of Plot are too few for an honest one" in text


def a_slice(name: str, value: float) -> dict[str, Any]:
    return {"column": "Soil", "slice": name, "rows": 40, "lead": None} | judged(value)


def test_a_report_lists_the_worst_slices_first() -> None:
    lines = judged_by(slices=[a_slice(f"s{n}", n / 10) for n in (9, 2, 8, 7, 6, 5, 4)]).splitlines()
    at = lines.index("By accuracy, the worst 6 of 7 slices; the worst of many is partly chance:")
    assert lines[at + 4] == "| `Soil` = s2 | 40 | 0.2 (0.18 to 0.22) | - |"
    assert not any("`Soil` = s9" in line for line in lines)


def test_a_report_weighs_thresholds_by_declared_costs_and_folds_them_without() -> None:
    entry = {"threshold": 0.2, "called": 0.5, "precision": None, "recall": 0.75}
    text = judged_by(thresholds={"table": [entry]})
    assert "<details><summary>Thresholds</summary>" in text
    assert "| 0.2 | 50.0% | - | 75.0% |" in text
    entry |= {"cost": 12.5}
    costs = {"false_alarm": 1.0, "miss": 4.0}
    found = {"table": [entry], "costs": costs, "of_costs": entry, "cheapest": entry}
    text = judged_by(thresholds=found)
    assert "## Where to draw the line" in text
    assert "A false alarm costs 1 and a miss 4: where probabilities are right" in text
    assert "| 0.2 | 50.0% | - | 75.0% | 12.5 |" in text


def test_a_report_tells_calibration_and_the_learning_curve() -> None:
    text = judged_by(
        calibration={"ece": 0.02, "reliability": 0.003, "resolution": 0.08, "uncertainty": 0.2},
        learning_curve={
            "curve": [{"rows": 800, "value": 0.8, "deviation": 0.01}],
            "more_rows_help": True,
        },
    )
    assert "Probabilities are off by 2.0% in the mean" in text
    assert "more rows would help" in text
    assert "| 800 | 0.8 ± 0.01 |" in text
    text = judged_by(calibration={"bias": -2.5, "slope": 0.9, "at_most": 0.4})
    assert "Predictions are 2.5 below the truth" in text


def test_a_refused_report_still_says_what_the_data_give_away() -> None:
    refused = Verdict(passed=False, reasons=("f1 is too low",))
    text = report(replace(RECORD, verdict=refused, beware=("beware: `b` alone tells 99%",)))
    assert "- beware: `b` alone tells 99%." in text.splitlines()


def test_a_report_of_a_quantile_says_how_many_rows_are_at_most_that() -> None:
    one, name = judged(2.0), "pinball_90"
    evaluation: Evaluation = {
        **EVALUATION,
        "champion": {name: one},
        "baseline": {name: one},
        "advantage": {"baseline": {name: one}},
        "calibration": {"bias": 70.0, "slope": 0.9, "at_most": 0.876},
    }
    rivals = {who: candidate({name: [1.0, 2.0]}) for who in ("baseline", "boosting")}
    training: Training = {"champion": "boosting", "metric": name, "candidates": rivals}
    text = report(replace(RECORD, evaluation=evaluation, training=training))
    assert "87.6% of the rows have a truth of at most what is predicted; 90 % is meant." in text
