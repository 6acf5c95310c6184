"""In a repository of models a metric of one's own chooses, judges, and is followed there."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from tests.own_metrics import COST
from tests.scaffold.conftest import Installed
from treeline.config import PARAMS, Layout

NAME = "own.worth.Cost"
LOGISTIC = "sklearn.linear_model.LogisticRegression"
CANDIDATES = {
    "careful": {"estimator": LOGISTIC, "options": {"class_weight": "balanced"}},
    "plain": {"estimator": LOGISTIC},
}


def staff() -> str:
    """Return a table of 500 people, of whom about one in five leaves."""
    chance = np.random.default_rng(5)
    pay = chance.normal(size=500)
    left = pay + chance.normal(size=500) < -1.2
    rows = [f"{p:.3f},{'yes' if gone else 'no'}" for p, gone in zip(pay, left, strict=True)]
    return "\n".join(["pay,left", *rows]) + "\n"


@pytest.fixture(scope="module")
def repository(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with two models that differ in what chooses their champion."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "staff.csv").write_text(staff(), encoding="utf-8")
    installed.treeline("new", "mine", "--from", "staff.csv", "--target", "left", cwd=folder)
    mine = folder / "mine"
    (mine / "src/own/worth.py").write_text(COST, encoding="utf-8")
    document = YAML(typ="safe", pure=True).load((mine / PARAMS).read_text(encoding="utf-8"))
    block = document["models"]["staff"]
    block["target"]["positive"] = "yes"
    block |= {"candidates": CANDIDATES, "evaluation": {"slices": []}}
    gate: dict[str, Any] = {"floor": {NAME: 1.2}, "beats": "baseline", "may_drop_by": {NAME: 0.1}}
    document["models"] = {
        "by-cost": {**block, "champion": {"metric": NAME}, "gate": gate},
        "by-accuracy": {
            **block, "champion": {"metric": "accuracy"}, "gate": {"beats": None},
        },
    }  # fmt: skip
    document["default"] = "by-cost"
    with (mine / PARAMS).open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(document, file)
    installed.treeline("repro", cwd=mine)
    return mine


def run_by(installed: Installed, repository: Path) -> set[str]:
    said = installed.run("dvc", "repro", cwd=repository).stdout
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}


def test_it_chooses_another_champion_than_accuracy_and_is_asked_by_the_gate(
    repository: Path,
) -> None:
    cost, accuracy = (Layout(name, repository) for name in ("by-cost", "by-accuracy"))
    chosen = [json.loads(each.training.read_text())["champion"] for each in (cost, accuracy)]
    assert chosen == ["careful", "plain"]
    verdict = json.loads(cost.verdict.read_text())
    assert verdict["passed"]
    assert any(f"{NAME} is" in reason and "at most 1.2" in reason for reason in verdict["reasons"])
    assert any("beats the baseline's" in reason for reason in verdict["reasons"])
    judged = json.loads(cost.evaluation.read_text())["champion"][NAME]
    assert 0 < judged["low"] < judged["value"] < judged["high"]
    assert json.loads(cost.metrics.read_text())[NAME] == judged["value"]
    assert NAME not in json.loads(accuracy.metrics.read_text())
    assert json.loads(cost.signature.read_text())["metrics"][NAME] == judged["value"]
    for path in (cost.report, cost.model / "card.md"):
        assert NAME in path.read_text(encoding="utf-8"), path
    assert NAME in cost.candidates.read_text().partition("\n")[0]
    assert json.loads(cost.evaluation.read_text())["importances"][0]["loss"] > 0


def test_it_is_looked_at_by_the_commands(repository: Path, installed: Installed) -> None:
    said = installed.treeline("check-class", NAME, "--model", "by-cost", cwd=repository).stdout
    assert "intervals are exact" in said and "wrong" not in said
    assert "good" in installed.treeline("params", cwd=repository).stdout
    assert NAME in installed.run("dvc", "metrics", "show", cwd=repository).stdout


def test_editing_it_runs_the_stages_that_follow_it_and_no_others(
    repository: Path, installed: Installed
) -> None:
    file = repository / "src/own/worth.py"
    assert run_by(installed, repository) == set()
    file.write_text(COST + "# a remark\n", encoding="utf-8")
    assert run_by(installed, repository) <= {"digest"}
    (repository / "src/own/other.py").write_text("ANSWER = 42\n", encoding="utf-8")
    assert run_by(installed, repository) == {"digest"}
    file.write_text(COST.replace("10.0", "11.0"), encoding="utf-8")
    stages = {f"{stage}@by-cost" for stage in ("train", "evaluate", "gate", "export")}
    ran = run_by(installed, repository)
    assert {"digest", "train@by-cost"} <= ran <= {"digest", *stages}
    assert {"evaluate@by-cost", "gate@by-cost"} <= ran


def test_a_faulty_one_is_told_before_anything_is_fitted(
    repository: Path, installed: Installed
) -> None:
    file = repository / "src/own/worth.py"
    before = file.read_text(encoding="utf-8")
    gives_nan = before.replace("return np", "return np.nan * np")
    broken = {
        gives_nan: "`per_row` gives nan for a row of truth",
        before.replace("return np", "return np ("): "SyntaxError",
        before.replace("class Cost", "class Costs"): "cannot be imported",
    }
    try:
        for text, said in broken.items():
            file.write_text(text, encoding="utf-8")
            stage = ("-P", "-m", "treeline.stages", "train", "by-cost")
            told = installed.run(sys.executable, *stage, cwd=repository, good=False).stderr
            assert "models.by-cost.champion.metric: " in told and said in told, told
            assert "Traceback" not in told
            if text != gives_nan:  # which is found by asking it alone
                told = installed.treeline("doctor", cwd=repository, good=False).stdout
                assert "models.by-cost" in told and NAME in told
    finally:
        file.write_text(before, encoding="utf-8")
