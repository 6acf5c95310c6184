"""The verdict on a champion, and the words it is given in."""

import json
from typing import Any

import pytest

from tests.conftest import NAME, Project
from tests.stages import follow_code
from treeline.config.models import Gate
from treeline.evaluation.gate import decide
from treeline.stages.digest import write_inputs
from treeline.stages.running import run


def evaluation(champion: dict[str, float], baseline: dict[str, float] | None = None) -> Any:
    """Return an evaluation with intervals 0.02 wide; lower is better for rmse and log_loss."""
    rival = baseline or {}
    sign = {"rmse": -1, "log_loss": -1}
    leads = {
        name: sign.get(name, 1) * (value - rival[name])
        for name, value in champion.items()
        if name in rival
    }
    return {
        "champion": wide(champion),
        "baseline": wide(rival),
        "advantage": {"baseline": wide(leads)},
        "rows": 200,
    }


def wide(values: dict[str, float]) -> dict[str, dict[str, float]]:
    return {
        name: {"value": value, "low": value - 0.01, "high": value + 0.01}
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("gate", "champion", "passed", "reason"),
    [
        ({"floor": {"f1": 0.8}}, {"f1": 0.85}, True, "f1 is 0.85; at least 0.8 was asked"),
        ({"floor": {"f1": 0.8}}, {"f1": 0.8}, True, "f1 is 0.8; at least 0.8 was asked"),
        ({"floor": {"f1": 0.8}}, {"f1": 0.75}, False, "f1 is 0.75, but at least 0.8 is asked"),
        ({"floor": {"rmse": 50}}, {"rmse": 48}, True, "rmse is 48; at most 50 was asked"),
        ({"floor": {"rmse": 50}}, {"rmse": 52}, False, "rmse is 52, but at most 50 is asked"),
        (
            {"ceiling": {"f1": 0.99}},
            {"f1": 0.98},
            True,
            "f1 is 0.98, not above 0.99, where a leak is to be suspected",
        ),
        (
            {"ceiling": {"f1": 0.99}},
            {"f1": 1.0},
            False,
            "f1 is 1, above 0.99: too good to be true until someone explains it; "
            "look for a feature that knows the target",
        ),
        (
            {"ceiling": {"rmse": 0.1}},
            {"rmse": 0.0},
            False,
            "rmse is 0, below 0.1: too good to be true until someone explains it; "
            "look for a feature that knows the target",
        ),
        (
            {"floor": {"roc_auc": 0.8}},
            {"f1": 0.9},
            False,
            "roc_auc has a floor of 0.8, but the champion gives no probabilities",
        ),
        (
            {"ceiling": {"roc_auc": 0.99}},
            {"f1": 0.9},
            False,
            "roc_auc has a ceiling of 0.99, but the champion gives no probabilities",
        ),
        ({}, {"f1": 0.1}, True, "nothing was asked of the model"),
    ],
    ids=[
        *("above its floor", "on its floor", "below its floor", "error under", "error over"),
        *("under its ceiling", "perfect", "without error", "floor unknown", "ceiling unknown"),
        "nothing asked",
    ],
)
def test_a_threshold_is_judged_in_words(
    gate: dict[str, Any], champion: dict[str, float], passed: bool, reason: str
) -> None:
    declared = Gate.model_validate(gate | {"beats": None})
    verdict = decide(evaluation(champion), declared, metric="f1")
    assert verdict.passed is passed
    assert verdict.reasons == (reason,)


@pytest.mark.parametrize(
    ("metric", "champion", "baseline", "passed", "word"),
    [
        ("f1", 0.9, 0.8, True, "f1 0.9 beats the baseline's 0.8 (by 0.1, interval 0.09 to 0.11)"),
        ("f1", 0.8, 0.9, False, "f1 0.8 does not beat the baseline's 0.9 (by -0.1, interval -0.11"),
        ("f1", 0.8, 0.8, False, "f1 0.8 does not beat the baseline's 0.8"),
        ("rmse", 40.0, 50.0, True, "rmse 40 beats the baseline's 50 (by 10, interval"),
        ("rmse", 50.0, 40.0, False, "rmse 50 does not beat the baseline's 40 (by -10"),
    ],
    ids=["better", "worse", "equal", "smaller error", "larger error"],
)
def test_the_baseline_is_to_be_beaten(
    metric: str, champion: float, baseline: float, passed: bool, word: str
) -> None:
    found = evaluation({metric: champion}, {metric: baseline})
    verdict = decide(found, Gate(), metric=metric)
    assert verdict.passed is passed
    assert verdict.reasons[0].startswith(word)


@pytest.mark.parametrize(
    ("lead", "needed"), [(0.005, "800"), (0.0099, "210"), (0.001, "20,000"), (0.01, "200")]
)
@pytest.mark.parametrize("undecided", ["refuse", "pass"])
def test_a_lead_that_the_rows_cannot_tell_from_chance_is_undecided(
    lead: float, needed: str, undecided: str
) -> None:
    found = evaluation({"f1": 0.8 + lead}, {"f1": 0.8})
    found["advantage"]["baseline"]["f1"] = {"value": lead, "low": lead - 0.01, "high": lead + 0.01}
    gate = Gate.model_validate({"undecided": undecided})
    verdict = decide(found, gate, metric="f1")
    (reason,) = verdict.reasons
    assert verdict.passed is (undecided == "pass")
    assert reason.startswith("whether f1 0.8")
    assert "cannot be told with 200 test rows" in reason
    assert f"; {needed} would do if the lead held" in reason
    assert reason.endswith("lets it") is verdict.passed


def test_a_champion_that_is_behind_is_not_let_pass_as_undecided() -> None:
    found = evaluation({"f1": 0.795}, {"f1": 0.8})
    assert not decide(found, Gate(undecided="pass"), metric="f1").passed


def test_a_baseline_that_cannot_be_compared_is_not_beaten() -> None:
    found = evaluation({"f1": 0.9, "roc_auc": 0.9}, {"f1": 0.5})
    verdict = decide(found, Gate(), metric="roc_auc")
    assert not verdict.passed
    assert verdict.reasons == (
        "the baseline has no roc_auc to be beaten by; choose a metric it can give",
    )


def test_a_baseline_that_won_ships_in_so_many_words_and_still_has_a_floor() -> None:
    found = evaluation({"f1": 0.8}, {"f1": 0.8})
    verdict = decide(found, Gate(floor={"f1": 0.7}), metric="f1", winner="baseline")
    assert verdict.passed
    assert verdict.reasons[-1].startswith("the baseline itself won and ships, as declared")
    floor = Gate(floor={"f1": 0.9})
    assert not decide(found, floor, metric="f1", winner="baseline").passed


def test_a_refusal_gives_every_reason_and_only_those() -> None:
    gate = Gate(floor={"f1": 0.8, "accuracy": 0.5}, ceiling={"roc_auc": 0.99})
    found = evaluation({"f1": 0.7, "accuracy": 0.9, "roc_auc": 1.0}, {"f1": 0.75})
    verdict = decide(found, gate, metric="f1")
    assert [reason.split()[0] for reason in verdict.reasons] == ["f1", "roc_auc", "f1"]


def test_a_pass_gives_every_reason() -> None:
    gate = Gate(floor={"f1": 0.8}, ceiling={"f1": 0.99})
    verdict = decide(evaluation({"f1": 0.9}, {"f1": 0.5}), gate, metric="f1")
    assert verdict.passed
    assert len(verdict.reasons) == 3


FOUND = evaluation({"f1": 0.9}, {"f1": 0.5}) | {
    "graph": {"rows": 455, "largest_difference": 2.1e-07}
}
NONE = FOUND | {"graph": {"missing": "no ONNX converter for NearestCentroid"}}


def test_a_required_graph_that_repeats_the_champion_is_a_reason_to_pass() -> None:
    verdict = decide(FOUND, Gate(), metric="f1", onnx="required")
    assert verdict.passed
    assert verdict.reasons[-1] == "an ONNX graph repeats it on 455 test rows within 2.1e-07"


def test_a_required_graph_that_is_missing_is_refused_with_the_way_out() -> None:
    verdict = decide(NONE, Gate(), metric="f1", onnx="required")
    assert not verdict.passed
    assert verdict.reasons == (
        "`export: required` asks for an ONNX graph, and there is none: no ONNX converter for "
        "NearestCentroid; leave out this candidate, or declare `export: preferred`, which lets "
        "another runtime serve it",
    )
    assert decide(NONE, Gate(), metric="f1").passed


@pytest.mark.parametrize(
    "estimator", ["linear_model.LogisticRegression", "neighbors.NearestCentroid"]
)
def test_the_pipeline_looks_for_the_graph_that_is_required(
    project: Project, capsys: pytest.CaptureFixture[str], estimator: str
) -> None:
    document = project.document()
    document["models"][NAME] |= {
        "export": "required",
        "candidates": {"one": {"estimator": f"sklearn.{estimator}"}},
        "champion": {"metric": "accuracy"},
        "gate": {"beats": None},
    }
    project.write(document)
    follow_code()
    write_inputs()
    for stage in ("collect", "prepare", "train", "evaluate"):
        run([stage, NAME])
    graph = json.loads(project.paths.evaluation.read_text())["graph"]
    assert (project.paths.images / "candidates.png").exists()
    if "missing" in graph:
        with pytest.raises(SystemExit, match="there is none: no ONNX converter for NearestCentr"):
            run(["gate", NAME])
        assert "was refused at the gate" in project.paths.report.read_text()
        return
    for stage in ("gate", "export"):
        run([stage, NAME])
    assert "an ONNX graph repeats it on" in capsys.readouterr().out
    assert (project.paths.artifact / "model.onnx").exists()


def few_groups(lead: float) -> Any:
    """Return an evaluation in which four plots are too few for an interval."""
    found = evaluation({"f1": 0.8 + lead}, {"f1": 0.8})
    found["advantage"]["baseline"]["f1"] = {"value": lead, "low": None, "high": None}
    return found | {"judged": {"units": "4 groups of Plot"}}


@pytest.mark.parametrize(("undecided", "passed"), [("refuse", False), ("pass", True)])
def test_a_lead_without_an_interval_is_undecided(undecided: str, passed: bool) -> None:
    gate = Gate.model_validate({"undecided": undecided})
    verdict = decide(few_groups(0.05), gate, metric="f1")
    assert verdict.passed is passed
    (reason,) = verdict.reasons
    assert "without an interval: 4 groups of Plot are too few for one" in reason
    assert ("`evaluation: {folds: all}`" in reason) is not passed


def test_a_champion_behind_without_an_interval_is_refused() -> None:
    verdict = decide(few_groups(-0.05), Gate(undecided="pass"), metric="f1")
    assert not verdict.passed
    assert verdict.reasons[0].endswith("it does not beat the baseline")
