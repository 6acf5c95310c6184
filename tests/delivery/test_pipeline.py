"""`dvc repro` as a workflow runs it → which stages failed, and why, by what they noted."""

import threading
import time
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.delivery.forge import Forge
from treeline.delivery.notes import Failure
from treeline.delivery.pipeline import KILLED, recollect, reproduce
from treeline.errors import DeliveryError

ENDING = """\
import os, signal

from sklearn.linear_model import Ridge


class Dividing(Ridge):
    def fit(self, X, y):
        return 1 / 0


class Dying(Ridge):
    def fit(self, X, y):
        os.kill(os.getpid(), signal.SIGKILL)
"""
FORGOTTEN = """\
stages:
  export:
    foreach: [made, forgotten]
    do:
      cmd: test ${item} = forgotten || touch ${item}.txt
      outs: ["${item}.txt"]
"""
WAITING = """\
stages:
  export:
    foreach: [slow]
    do:
      cmd: echo first; until [ -e seen ]; do sleep 0.05; done; echo second
"""


def here(clone: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the clone the working directory, and its code the one that stages run."""
    monkeypatch.chdir(clone.root)
    monkeypatch.setenv("PYTHONPATH", "src")


def test_one_model_is_refused_while_the_other_is_trained_for_all_to_see(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here(clone, monkeypatch)
    clone.change("floor: {accuracy: 0.8}", "floor: {accuracy: 1.01}")
    clone.change("alpha: 0.1", "alpha: 0.2")
    signature = clone.root / "model/sugar/signature.json"
    before = signature.read_text()
    [failure] = reproduce(["flowers", "sugar"], force=False)
    assert failure.refused and failure.model == "flowers"
    assert failure.reason.endswith("but at least 1.01 is asked")
    assert signature.read_text() != before
    told = capfd.readouterr().out
    assert failure.reason in told
    assert "Running stage 'export@sugar'" in told


def test_two_stages_that_broke_are_both_told_and_so_is_a_declaration_that_dvc_cannot_read(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(clone, monkeypatch)
    clone.change("dataset: diabetes", "dataset: nowhere")
    clone.change("dataset: iris", "dataset: elsewhere")
    failures = reproduce(["flowers", "sugar"], force=False)
    assert {(each.stage, each.model) for each in failures} == {
        ("collect", "flowers"),
        ("collect", "sugar"),
    }
    assert all("is not known; choose from" in each.reason for each in failures)
    assert all("\n" not in each.reason for each in failures)
    clone.change("models:", "models: [")
    [failure] = reproduce(["flowers", "sugar"], force=False)
    assert failure.stage == "" and "params.yaml" in failure.reason


def test_a_stage_that_crashed_gives_its_error_and_one_that_was_killed_is_named(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(clone, monkeypatch)
    (clone.root / "src/own/ending.py").write_text(ENDING)
    clone.change("sklearn.linear_model.Ridge, options: {alpha: 0.1}", "own.ending.Dying")
    clone.change("sklearn.linear_model.LogisticRegression", "own.ending.Dividing")
    failures = {each.model: each for each in reproduce(["flowers", "sugar"], force=False)}
    assert failures["sugar"] == Failure("train", "sugar", KILLED)
    assert "division by zero" in failures["flowers"].reason
    assert not failures["flowers"].refused


def test_what_only_dvc_finds_wrong_is_told_in_its_own_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(FORGOTTEN)
    Checkout(tmp_path).run("dvc", "init", "--no-scm", "--quiet")
    [failure] = reproduce(["made", "forgotten"], force=False)
    assert (failure.stage, failure.model, failure.refused) == ("", "", False)
    assert "forgotten.txt" in failure.reason


def test_a_source_that_has_other_rows_by_now_is_noticed_and_nothing_else_runs(
    fresh: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(fresh, monkeypatch)
    source = fresh.root / "dataset/sources/file/table.csv"
    source.write_text("bmi,s5,target\n1,2,3\n4,5,6\n")
    fresh.change(
        "{kind: library, dataset: diabetes}", "{kind: file, path: dataset/sources/file/table.csv}"
    )
    raw = fresh.root / "dataset/sugar/raw.parquet"
    assert recollect(["sugar"]) == []
    before = raw.read_bytes()
    source.write_text("bmi,s5,target\n1,2,3\n4,5,60\n")
    assert recollect(["sugar"]) == []
    assert raw.read_bytes() != before
    assert {path.name for path in fresh.root.glob("model/*")} == {"code.json", "inputs"}
    source.unlink()
    [failure] = recollect(["sugar"])
    assert (failure.stage, failure.model) == ("collect", "sugar")
    assert "table.csv" in failure.reason


def test_by_force_what_did_not_change_runs_again_for_the_models_asked_for(
    forge: Forge, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(["sugar"], force=False) == []
    assert "Running stage" not in capfd.readouterr().out
    assert reproduce(["sugar"], force=True) == []
    told = capfd.readouterr().out
    assert "Running stage 'export@sugar'" in told and "flowers" not in told
    assert forge.clone.run("git", "status", "--porcelain").stdout == ""


def test_output_is_shown_while_the_pipeline_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The stage waits for a file that only who has seen its first line makes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(WAITING)
    Checkout(tmp_path).run("dvc", "init", "--no-scm", "--quiet")
    result: list[list[Failure]] = []
    run = threading.Thread(target=lambda: result.append(reproduce(["slow"], force=False)))
    run.start()
    told, deadline = "", time.monotonic() + 30
    while "first" not in told.splitlines() and time.monotonic() < deadline:
        time.sleep(0.05)
        told += capfd.readouterr().out
    (tmp_path / "seen").touch()
    run.join()
    assert "first" in told.splitlines() and "second" not in told.splitlines()
    assert result == [[]]


def test_without_dvc_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeliveryError, match="make setup"):
        reproduce(["sugar"], force=False)
