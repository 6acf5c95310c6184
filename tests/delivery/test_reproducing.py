"""What `dvc repro` said → which stages failed, and why; read off texts, and off real runs."""

import threading
import time
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.delivery.forge import Forge
from treeline.delivery.reproducing import Failure, failures_of, recollect, reproduce
from treeline.errors import DeliveryError

REFUSED = """\
Stage 'train@flowers' didn't change, skipping
Running stage 'train@sugar':
> python -m treeline.stages train sugar
train sugar: champion is ridge
Updating lock file 'dvc.lock'

Running stage 'gate@flowers':
> python -m treeline.stages gate flowers
gate flowers: refused: accuracy is 1, but at least 1.01 is asked
WARNING: failed to run: python -m treeline.stages gate flowers, exited with 1
WARNING: Stage 'export@flowers' will be skipped due to this failure

Running stage 'gate@sugar':
> python -m treeline.stages gate sugar
gate sugar: passed: r2 is 0.2993; at least 0.05 was asked
Updating lock file 'dvc.lock'
ERROR: failed to reproduce 'gate@flowers'
"""
BROKEN = """\
Running stage 'collect@sugar':
> python -m treeline.stages collect sugar
collect sugar: source.dataset: 'nowhere' is not known
WARNING: failed to run: python -m treeline.stages collect sugar, exited with 1
WARNING: Stages 'prepare@sugar' and 'gate@sugar' will be skipped due to this failure
Stage 'prepare@flowers' didn't change, skipping
Stage 'train@flowers' is cached - skipping run, checking out outputs
ERROR: failed to reproduce 'collect@sugar'
"""
CRASHED = """\
Running stage 'train@sugar':
> python -m treeline.stages train sugar
train sugar: baseline: rmse 79.5
Traceback (most recent call last):
  File "train.py", line 1, in <module>
ZeroDivisionError: division by zero
WARNING: failed to run: python -m treeline.stages train sugar, exited with 1
ERROR: failed to reproduce 'train@sugar'
"""
SILENT = """\
Running stage 'train@sugar':
> python -m treeline.stages train sugar
WARNING: failed to run: python -m treeline.stages train sugar, exited with -9
ERROR: failed to reproduce 'train@sugar'
"""
SEVERAL = """\
Running stage 'collect@sugar':
> python -m treeline.stages collect sugar
collect sugar: it has no rows
WARNING: failed to run: python -m treeline.stages collect sugar, exited with 1
Running stage 'gate@flowers':
> python -m treeline.stages gate flowers
gate flowers: refused: too good to be true
WARNING: failed to run: python -m treeline.stages gate flowers, exited with 1
Running stage 'train@wine':
> python -m treeline.stages train wine
train wine: no candidate could be fitted
WARNING: failed to run: python -m treeline.stages train wine, exited with 1
ERROR: failed to reproduce stages: 'collect@sugar', 'gate@flowers' and 'train@wine'
"""
CORRUPTED = """\
ERROR: unable to read: 'params.yaml', YAML file structure is corrupted: while parsing
  in "<unicode string>", line 1, column 10:
    default: [
             ^ (line: 1)
"""
WAITING = """\
stages:
  export:
    foreach: [slow]
    do:
      cmd: echo first; until [ -e seen ]; do sleep 0.05; done; echo second
"""


def found(text: str) -> list[Failure]:
    return failures_of(text.splitlines())


def test_a_model_refused_by_its_gate_is_told_apart_from_what_broke() -> None:
    reason = "refused: accuracy is 1, but at least 1.01 is asked"
    assert found(REFUSED) == [Failure("gate", "flowers", reason)]
    assert [each.refused for each in found(REFUSED) + found(BROKEN)] == [True, False]


def test_a_gate_that_broke_has_refused_nothing() -> None:
    text = REFUSED.replace("refused: accuracy is 1, but", "evaluation.json: no such file;")
    assert [each.refused for each in found(text)] == [False]


def test_what_dvc_says_of_other_stages_is_no_part_of_the_reason() -> None:
    assert found(BROKEN) == [Failure("collect", "sugar", "source.dataset: 'nowhere' is not known")]


def test_a_traceback_is_told_in_full() -> None:
    [failure] = found(CRASHED)
    assert failure.reason.startswith("baseline: rmse 79.5\nTraceback (most recent call last):")
    assert failure.reason.endswith("\nZeroDivisionError: division by zero")


def test_a_stage_that_was_killed_is_named_all_the_same() -> None:
    assert found(SILENT) == [Failure("train", "sugar", "it ended without a word")]


def test_every_failed_stage_is_found_when_there_are_several() -> None:
    assert found(SEVERAL) == [
        Failure("collect", "sugar", "it has no rows"),
        Failure("gate", "flowers", "refused: too good to be true"),
        Failure("train", "wine", "no candidate could be fitted"),
    ]


def test_what_kept_any_stage_from_starting_belongs_to_no_model() -> None:
    [failure] = found(CORRUPTED)
    assert (failure.stage, failure.model) == ("", "")
    assert failure.reason.startswith("unable to read: 'params.yaml'")


def test_a_run_that_went_well_has_no_failures() -> None:
    assert found("Stage 'train@sugar' didn't change, skipping\n") == []


def test_a_failure_is_kept_and_found_again_as_plain_data() -> None:
    failure = Failure("gate", "sugar", "refused: r2 is 0.1")
    assert Failure(**failure.plain()) == failure


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
    assert failure.reason in told and "Running stage 'export@sugar'" in told


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
