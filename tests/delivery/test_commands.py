"""The commands of a run, one after the other: exit codes, notes, and what GitHub is handed."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.delivery.forge import Forge
from treeline.delivery import notes

Done = subprocess.CompletedProcess[str]
LIST = "refs/remotes/origin/released"


DIGEST = f"registry.example/forest@sha256:{'0' * 64}"
RECORD = (
    "from treeline.delivery import releasing;"
    f"r.record(releasing.last(), '{DIGEST}', r.Place('koyeb', ''))"
)
REFUSE = """
from treeline.delivery import refusals
refusal = refusals.Refusal("gate", refusals.inputs_of("sugar"), "refused: r2 is 0.3", "c0ffee")
print(refusals.refspecs({"sugar": refusal})[0].partition(":")[0])
"""


@dataclass(frozen=True)
class Run:
    """A run of GitHub Actions in a checkout."""

    checkout: Checkout
    folder: Path

    def command(self, name: str, *arguments: str, good: bool = True) -> Done:
        (self.folder / "output").write_text("")
        return self.checkout.python("-m", "treeline", name, *arguments, good=good)

    def outputs(self) -> dict[str, str]:
        """What the last command handed to the steps after it."""
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def summary(self) -> str:
        return (self.folder / "summary").read_text()

    def place(self, kind: type[notes.Note]) -> Path:
        return self.checkout.root / notes.FILES[kind]

    def note(self, kind: type[notes.Note]) -> Any:
        return json.loads(self.place(kind).read_text())


@pytest.fixture
def run(clone: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run in the reproduced clone."""
    return acted(clone, tmp_path, monkeypatch)


@pytest.fixture
def forged(forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run in the clone of a forge."""
    return acted(forge.clone, tmp_path, monkeypatch)


def acted(checkout: Checkout, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(folder / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary"))
    return Run(checkout, folder)


def head(checkout: Checkout) -> str:
    return checkout.run("git", "rev-parse", "HEAD").stdout.strip()


def released(checkout: Checkout) -> None:
    """Enter the commit checked out into the list, as if it had been fetched."""
    code = (
        "from treeline.delivery import releasing as r;"
        "print(r.entered(r.entry_for('HEAD')).partition(':')[0])"
    )
    entry = checkout.python("-c", code.replace("HEAD", head(checkout))).stdout.strip()
    checkout.run("git", "update-ref", LIST, entry)


# --- pull ----------------------------------------------------------------------------------------


def test_pull_says_that_there_is_no_remote_and_ends_well(forged: Run) -> None:
    (forged.checkout.root / ".dvc/config.local").unlink()
    assert "there is no shared remote: the secret DVC_REMOTE_URL" in forged.command("pull").stdout


def test_pull_names_what_the_remote_lacks_and_forgets_an_earlier_run(forged: Run) -> None:
    note = forged.place(notes.Published)
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    told = forged.command("pull").stdout
    assert "made anew" in told and "model/sugar/artifact/" in told
    assert not note.exists()
    forged.checkout.run("dvc", "push")
    assert forged.command("pull").stdout == "Everything is here.\n"


@pytest.mark.usefixtures("unreachable")
def test_pull_leaves_its_complaint_for_the_report(forged: Run) -> None:
    told = forged.command("pull", good=False)
    assert "`shared` cannot be read" in told.stderr and "Traceback" not in told.stderr
    assert forged.note(notes.RunError)["command"] == "pull"


# --- retrain and report --------------------------------------------------------------------------


def test_retrain_names_an_unknown_model_and_forgets_an_earlier_run(run: Run) -> None:
    note = run.place(notes.Compared)
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    done = run.command("retrain", "suger", good=False)
    assert done.stderr == "suger: not declared; declared are flowers, sugar\n"
    assert not note.exists()
    run.command("report")
    assert "# Training failed" in run.summary() and "suger: not declared" in run.summary()


def test_a_refused_model_ends_retrain_badly_and_is_reported(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.checkout.change("floor: {r2: 0.05}", "floor: {r2: 0.99}")
    done = run.command("retrain", good=False)
    assert done.returncode == 1
    assert "gate sugar: refused: r2 is" in done.stderr
    assert "Running stage 'gate@sugar'" in done.stdout
    [failure] = run.note(notes.Reproduced)["failures"]
    assert (failure["stage"], failure["model"]) == ("gate", "sugar")

    monkeypatch.setenv("GITHUB_SHA", head(run.checkout))
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/forest")
    monkeypatch.setenv("GITHUB_RUN_ID", "4711")
    monkeypatch.setenv("REASON", "to see it refused")
    run.command("report")
    text = (run.checkout.root / notes.REPORT).read_text()
    assert "# Refused at the gate: sugar" in text and "to see it refused" in text
    assert "https://github.com/acme/forest/actions/runs/4711" in text
    assert "but at least 0.99 is asked" in text and "Unchanged: flowers" in text
    assert run.summary() == text
    assert run.outputs() == {"commit": head(run.checkout)}
    assert run.checkout.run("git", "status", "--porcelain", "build").stdout == ""


def test_a_refusal_on_record_is_not_trained_told_or_due_again_unless_by_force(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_REMOTE_URL", str(run.folder / "remote"))
    released(run.checkout)
    run.checkout.change("floor: {r2: 0.05}", "floor: {r2: 0.99}")
    run.command("retrain", "--go-on")
    assert run.command("outcome", good=False).returncode == 1
    entry = run.checkout.python("-c", REFUSE).stdout.strip()
    run.checkout.run("git", "update-ref", "refs/remotes/origin/refused", entry)
    again = run.command("retrain").stdout
    assert "::notice::sugar is left out: the gate refused it" in again
    assert "stage 'gate@sugar'" not in again and "stage 'train@sugar'" not in again
    run.command("outcome")
    told = run.command("stale").stdout
    assert "sugar was refused at" in told and run.outputs() == {"due": "false"}
    assert run.command("retrain", "--force", "sugar", good=False).returncode == 1


def test_a_model_whose_rows_are_in_a_remote_that_is_not_named_is_left_out_in_words(
    run: Run,
) -> None:
    path = "dataset/sources/file/own.csv"
    pointer = run.checkout.root / f"{path}.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef\n  path: own.csv\n")
    run.checkout.change("{kind: library, dataset: diabetes}", f"{{kind: file, path: {path}}}")
    told = run.command("retrain").stdout
    assert "sugar is left out" in told and "the secret DVC_REMOTE_URL" in told
    run.command("outcome")
    run.command("report")
    assert "**sugar** is left out" in run.summary()


def test_a_declaration_that_cannot_be_read_is_reported_too(run: Run) -> None:
    run.checkout.change("task: regression", "task: regresion")
    done = run.command("retrain", good=False)
    assert "models.sugar.target.task" in done.stderr and "Traceback" not in done.stderr
    run.command("report")
    assert "# Training failed" in run.summary()
    assert "models.sugar.target.task" in run.summary()


def test_a_run_that_changed_nothing_trains_nothing_and_comments_on_nothing(run: Run) -> None:
    done = run.command("retrain")
    assert "Running stage" not in done.stdout
    assert run.note(notes.Reproduced) == {"failures": [], "left_out": {}}
    run.command("report")
    assert "# Nothing has changed" in run.summary()
    assert run.outputs() == {"commit": ""}


# --- compare -------------------------------------------------------------------------------------


def test_compare_ends_badly_when_a_model_must_not_ship_unless_a_person_accepts_it(
    run: Run,
) -> None:
    """That a model may not for being worse is shown in tests/pipeline/test_comparing.py."""
    released(run.checkout)
    base = head(run.checkout)
    assert f"sugar is still the model of {base[:12]}" in compared(run)
    assert contest(run) == (base, False, {"flowers": True, "sugar": True})

    verdict = run.checkout.root / "model/sugar/verdict.json"
    verdict.write_text('{"passed": false, "reasons": ["r2 is 0.01"]}')
    told = compared(run, good=False)
    assert "## sugar cannot be compared" in told and "r2 is 0.01" in told
    assert "flowers is still the model of" in told
    assert contest(run) == (base, False, {"flowers": True, "sugar": False})
    run.command("report")
    assert "# Refused, for not fit to follow the model before: sugar" in run.summary()
    assert compared(run, "--go-on") and run.command("outcome", good=False).returncode == 1

    assert "Accepted all the same" in compared(run, "--accept")
    assert contest(run) == (base, True, {"flowers": True, "sugar": False})
    run.command("report")
    run.command("outcome")
    assert "A person accepted" in run.summary()


def contest(run: Run) -> tuple[str, bool, dict[str, bool]]:
    note = run.note(notes.Compared)
    return note["base"], note["accepted"], {k: each["good"] for k, each in note["models"].items()}


def compared(run: Run, *options: str, good: bool = True) -> str:
    return run.command("compare", *options, "--base", "released", good=good).stdout


def test_compare_names_an_unknown_model(run: Run) -> None:
    done = run.command("compare", "--base", "HEAD", "suger", good=False)
    assert done.stderr == "suger: not declared; declared are flowers, sugar\n"


# --- stale ---------------------------------------------------------------------------------------


def test_without_a_shared_remote_no_training_is_due(run: Run) -> None:
    assert "There is no shared remote" in run.command("stale").stdout
    assert run.outputs() == {"due": "false"}


def test_a_training_is_due_when_anything_changed_or_a_release_is_wanting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_REMOTE_URL", str(run.folder / "remote"))
    released(run.checkout)
    assert "Nothing has changed" in run.command("stale").stdout
    assert run.outputs() == {"due": "false"}

    run.checkout.change("alpha: 0.1", "alpha: 0.2")
    run.checkout.run("git", "update-ref", "-d", LIST)
    told = run.command("stale").stdout
    assert "train@sugar is out of date" in told and "flowers is out of date" not in told
    assert "what would be served is not released" in told
    assert run.outputs() == {"due": "true"}


def test_a_source_that_does_not_answer_is_told_and_nothing_is_due(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_REMOTE_URL", str(run.folder / "remote"))
    source = "{kind: url, url: 'http://127.0.0.1:9/sugar.csv'}"
    run.checkout.change("{kind: library, dataset: diabetes}", source)
    done = run.command("stale", good=False)
    assert "sugar: " in done.stderr and "127.0.0.1:9" in done.stderr
    assert run.outputs() == {}


# --- publish and release -------------------------------------------------------------------------


def test_publish_hands_on_the_commit_and_leaves_a_note_for_the_report(
    trained: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = acted(trained.clone, tmp_path, monkeypatch)
    run.command("publish")
    assert run.outputs() == {"commit": trained.tip(), "changed": "true", "branch": ""}
    found = run.note(notes.Published)
    assert (found["commit"], found["released"]) == (trained.tip(), True)


@pytest.mark.usefixtures("unreachable")
def test_publish_leaves_its_complaint_for_the_report(forged: Run) -> None:
    done = forged.command("publish", good=False)
    assert "`shared` cannot be pushed to" in done.stderr and "Traceback" not in done.stderr
    complaint = forged.note(notes.RunError)
    assert complaint["command"] == "publish" and complaint["message"] in done.stderr
    assert not forged.place(notes.Published).exists()


def test_before_the_first_release_there_is_nothing_to_prepare(forged: Run) -> None:
    assert "Nothing is released yet" in forged.command("release").stdout
    assert forged.outputs() == {"commit": ""}
    assert not (forged.checkout.root / "build/release").exists()


def test_release_prepares_the_released_commit_or_the_one_that_has_a_version(
    trained: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = trained.clone
    run = acted(clone, tmp_path, monkeypatch)
    clone.run("git", "stash", "--quiet")
    clone.run("git", "checkout", "--quiet", "main^")
    clone.run("dvc", "push", "--all-commits")
    older = head(clone)
    released(clone)
    clone.run("git", "checkout", "--quiet", "main")
    clone.run("git", "stash", "pop", "--quiet")
    run.command("publish")
    clone.run("git", "fetch", "--quiet", "origin")
    clone.run("rm", "-rf", ".dvc/cache")
    artifact = clone.root / "build/release/model/sugar/artifact/model.onnx"

    run.command("release")
    assert run.outputs() == {"commit": trained.tip()}
    assert artifact.read_text() == "sugar 2"
    monkeypatch.setenv("VERSION", "sugar-1")
    run.command("release")
    assert artifact.read_text() == "sugar 1"
    assert head(Checkout(clone.root / "build/release")) == older
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_release_takes_a_remote_that_is_committed(
    forge: Forge, forged: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = forge.clone.root / ".dvc/config.local"
    config.unlink()
    forge.clone.run("dvc", "remote", "add", "--default", "all", str(forge.remote))
    commit = forge.clone.commit("Name the remote")
    forge.clone.run("dvc", "push")
    monkeypatch.setenv("VERSION", commit)
    monkeypatch.setenv("UNLISTED", "true")
    forged.command("release")
    assert forged.outputs() == {"commit": commit}
    artifact = forge.clone.root / "build/release/model/sugar/artifact/model.onnx"
    assert artifact.read_text() == "sugar 1"


def test_a_release_that_was_in_service_is_prepared_by_its_digest_without_the_remote(
    forge: Forge, forged: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(forge.clone)
    record = f"from treeline.deployment import records as r; {RECORD}"
    forge.clone.python("-c", record)
    forge.clone.run("git", "fetch", "--quiet", "origin")
    (forge.clone.root / ".dvc/config.local").unlink()
    docker = forged.folder / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "manifest inspect {DIGEST}" ]\n')
    docker.chmod(0o755)
    tools = os.pathsep.join([str(docker.parent), os.environ["PATH"]])
    monkeypatch.setattr(Checkout, "environment", with_path(tools))
    told = forged.command("release").stdout
    assert f"{DIGEST} was deployed before" in told
    folder = forge.clone.root / "build/release"
    assert json.loads((folder / "shipped.json").read_text()) == {"image": DIGEST}
    assert not (folder / "model/sugar/artifact").exists()


def with_path(path: str) -> Callable[..., dict[str, str]]:
    """Return the environment of a checkout with other programs in front."""
    before = Checkout.environment
    return lambda checkout, **how: {**before(checkout, **how), "PATH": path}


def test_release_names_a_version_that_there_is_not_and_a_remote_that_is_wanting(
    forged: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSION", "v9")
    assert "v9: neither a commit" in forged.command("release", good=False).stderr
    (forged.checkout.root / ".dvc/config.local").unlink()
    monkeypatch.setenv("VERSION", head(forged.checkout))
    told = forged.command("release", "--unlisted", good=False).stderr
    assert "there is no shared remote to pull its models from" in told


# --- comment -------------------------------------------------------------------------------------


def test_comment_asks_for_the_report_first(forged: Run) -> None:
    done = forged.command("comment", "--commit", "HEAD", good=False)
    assert done.stderr == "build/run/report.md is not there; write it first: make report\n"
