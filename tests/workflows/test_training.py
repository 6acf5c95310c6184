"""Continuous training as GitHub runs it: each scenario is one that people meet."""

import json
import shutil
from pathlib import Path

import pytest

from tests.github.run import Run
from tests.github.settings import Rule
from tests.workflows.runner import Forge

STORE, ENDED = "Store, commit and release", "Say how it ended"

# Writes down what it was asked, and comments as the real one does.
CML = """\
#!/usr/bin/env python3
import json, os, pathlib, subprocess, sys
pathlib.Path({told!r}).write_text(json.dumps(
    {{"arguments": sys.argv[1:], "tracked": os.environ.get("ITERATIVE_DO_NOT_TRACK")}}))
commit = next(word.partition("/")[2] for word in sys.argv if word.startswith("--target=commit/"))
body = "body=" + pathlib.Path(sys.argv[-1]).read_text() + "\\n(by CML)"
os.environ["GH_TOKEN"] = os.environ["REPO_TOKEN"]
comments = "repos/acme/toy/commits/" + commit + "/comments"
subprocess.run(["gh", "api", comments, "-f", body], check=True)
"""


@pytest.fixture(scope="module")
def changed(start: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[Forge, Run, str]:
    """Return a forge after a push with a changed parameter, its run, and the pushed commit."""
    forge = start.copied(tmp_path_factory.mktemp("changed") / "all")
    script = forge.folder / "cml"
    script.write_text(CML.format(told=str(forge.folder / "cml.json")))
    script.chmod(0o755)
    forge.settings.tools = {"cml": str(script)}
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    pushed = forge.push("Regularise more")
    [run] = forge.pushed("train.yml")
    return forge, run, pushed


def version_of(forge: Forge, revision: str = "main") -> str:
    signature = json.loads(forge.git("show", f"{revision}:model/sugar/signature.json"))
    return str(signature["version"])


def test_a_changed_parameter_is_trained_and_committed_on_top(
    changed: tuple[Forge, Run, str],
) -> None:
    forge, run, pushed = changed
    assert run.conclusion == "success"
    assert forge.git("rev-parse", "main^") == pushed
    author, subject = forge.git("log", "-1", "--format=%an%n%s", "main").splitlines()
    assert author == "github-actions[bot]"
    assert subject == "Train sugar [skip ci]"
    assert version_of(forge) != version_of(forge, pushed)


def test_what_the_commit_points_to_is_in_the_remote(
    changed: tuple[Forge, Run, str], tmp_path: Path
) -> None:
    forge = changed[0]
    forge.clone.run(
        "git", "clone", "--quiet", str(forge.state / "origin.git"), str(tmp_path / "new")
    )
    status = (
        "dvc remote add --local -d shared $1 && dvc data status --granular --not-in-remote --json"
    )
    told = forge.clone.run(
        "sh", "-c", f"cd $0 && {status}", str(tmp_path / "new"), str(forge.storage)
    )
    assert "not_in_remote" not in json.loads(told.stdout.splitlines()[-1])


def test_it_is_released_by_an_entry_that_names_the_commit_and_the_models(
    changed: tuple[Forge, Run, str],
) -> None:
    forge = changed[0]
    entry = json.loads(forge.git("show", "released:released.json"))
    main, version = forge.main, version_of(forge)
    assert entry == {"commit": main, "models": {"sugar": version}, "passed": {"sugar": main}}


def test_cml_comments_the_report_on_the_commit_of_the_bot(changed: tuple[Forge, Run, str]) -> None:
    forge = changed[0]
    [comment] = forge.comments()
    assert comment["commit_id"] == forge.main
    assert comment["body"].endswith("(by CML)")
    asked = json.loads((forge.folder / "cml.json").read_text())
    assert asked["arguments"][:2] == ["comment", "create"]
    assert f"--target=commit/{forge.main}" in asked["arguments"]
    assert {"--publish=false", "--rm-watermark"} <= set(asked["arguments"])
    assert asked["tracked"] == "1"


def test_the_report_tells_verdict_metrics_candidates_data_and_pictures(
    changed: tuple[Forge, Run, str],
) -> None:
    forge, run, _ = changed
    body = forge.comments()[0]["body"]
    assert "# Trained and published: sugar" in body
    assert "Will be deployed" in body and version_of(forge) in body
    assert "### sugar may ship" in body and "| rmse | " in body
    assert "**ridge** won with alpha 0.2." in body
    assert "The data are those of before." in body
    assert f"https://github.com/acme/toy/blob/{forge.main}/model/sugar/images/" in body
    assert "# Trained and published: sugar" in run.summary


def test_the_same_again_changes_nothing_and_says_so(changed: tuple[Forge, Run, str]) -> None:
    forge = changed[0]
    before = forge.main, forge.released, len(forge.comments())
    [run] = forge.press("train.yml")
    assert run.conclusion == "success"
    assert "Nothing has changed" in run.summary
    assert (forge.main, forge.released, len(forge.comments())) == before
    assert run.step("Comment") == "skipped"


def test_the_button_trains_by_force_gives_the_reason_and_needs_no_cml(forge: Forge) -> None:
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    forge.push("Regularise more")
    inputs = {"reason": "the lab found `errors`; $(false)", "model": "sugar", "force": "true"}
    [run] = forge.press("train.yml", inputs)
    assert run.conclusion == "success"
    assert "Running stage 'collect@sugar'" in run.log
    assert "Reason: the lab found `errors`; $(false)" in forge.git(
        "log", "-1", "--format=%b", "main"
    )
    assert run.step("Set up CML") == "failure"
    [comment] = forge.comments()
    assert comment["commit_id"] == forge.main and "(by CML)" not in comment["body"]
    assert "Asked for because: the lab found `errors`; $(false)" in comment["body"]


def test_a_model_that_the_gate_refuses_turns_the_run_red_and_leaves_main_alone(
    forge: Forge,
) -> None:
    forge.clone.change("r2: 0.05", "r2: 0.9")
    pushed = forge.push("Ask for more")
    released = forge.released
    runs = forge.pushed("train.yml", chain=True)
    assert [run.conclusion for run in runs] == ["failure", "success"]
    assert runs[0].step(STORE) == "success" and runs[0].step(ENDED) == "failure"
    assert runs[1].jobs["deploy"]["result"] == "skipped"
    assert (forge.main, forge.released) == (pushed, released)
    [comment] = forge.comments()
    assert comment["commit_id"] == pushed
    assert "# Refused at the gate: sugar" in comment["body"]
    assert "at least 0.9 is asked" in comment["body"]


def test_a_model_worse_than_the_one_before_is_refused_unless_a_person_accepts_it(
    forge: Forge,
) -> None:
    forge.clone.change("alpha: 0.1", "alpha: 3")
    pushed = forge.push("Regularise far too much")
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "failure" and forge.main == pushed
    assert "# Refused, for not fit to follow the model before" in forge.comments()[0]["body"]
    [run] = forge.press("train.yml", {"accept": "true"})
    assert run.conclusion == "success" and forge.git("rev-parse", "main^") == pushed
    assert "A person accepted" in forge.comments()[1]["body"]


def test_a_training_that_fails_is_told_and_nothing_is_deployed(forge: Forge) -> None:
    forge.clone.change("linear_model.Ridge", "linear_model.Rigde")
    pushed = forge.push("Misspell the estimator")
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "failure" and run.step(ENDED) == "failure"
    assert forge.main == pushed
    body = forge.comments()[0]["body"]
    assert "# Training failed: train sugar" in body
    assert "'sklearn.linear_model.Rigde' cannot be imported" in body


def test_the_first_training_fills_an_empty_remote_and_has_no_incumbent_to_beat(
    forge: Forge,
) -> None:
    shutil.rmtree(forge.storage)
    forge.storage.mkdir()
    forge.git("update-ref", "-d", "refs/heads/released")
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    pushed = forge.push("Regularise more")
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "success"
    assert "The remote lacks these" in run.log
    assert forge.git("rev-parse", "main^") == pushed
    assert json.loads(forge.git("show", "released:released.json"))["commit"] == forge.main
    assert "### sugar is compared with nothing" in forge.comments()[0]["body"]


def push_from_elsewhere(forge: Forge, change: str) -> list[str]:
    """Return shell lines with which somebody else commits a change to main."""
    other = forge.folder / "other"
    return [
        f"rm -rf {other}; git clone --quiet {forge.state}/origin.git {other}; cd {other}",
        change,
        "git add -A; git -c user.name=Other -c user.email=o@example.invalid commit -qm Meanwhile",
        "env -u GIT_CONFIG_COUNT git push --quiet origin main",
    ]


def test_a_push_that_comes_meanwhile_is_kept_and_the_models_go_on_top(forge: Forge) -> None:
    forge.meanwhile(*push_from_elsewhere(forge, "echo hello > NEWS.md"))
    forge.clone.change("  sugar:\n", "  sugar:\n    description: How far will it have gone?\n")
    pushed, released = forge.push("Describe it"), forge.released
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "success"
    subjects = forge.git("log", "--format=%s", f"{pushed}..main").splitlines()
    assert subjects == ["Train sugar [skip ci]", "Meanwhile"]
    assert forge.released == released, "what came meanwhile is not tested yet"
    assert "moved on meanwhile" in run.summary


def test_a_push_that_changes_what_is_trained_from_goes_first(forge: Forge) -> None:
    change = "sed -i 's/bmi: {type: number}/bmi: {type: number, minimum: -1}/' params.yaml"
    forge.meanwhile(*push_from_elsewhere(forge, change))
    forge.clone.change("  sugar:\n", "  sugar:\n    description: How far will it have gone?\n")
    pushed = forge.push("Describe it")
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "success"
    assert forge.git("log", "--format=%s", f"{pushed}..main") == "Meanwhile"
    assert "Its own run trains" in run.summary


def test_a_remote_that_cannot_be_reached_turns_the_run_red_before_anything_is_trained(
    forge: Forge,
) -> None:
    forge.secrets |= {"DVC_REMOTE_URL": "s3://nowhere/dvc", "AWS_ACCESS_KEY_ID": "key"}
    forge.secrets |= {"AWS_SECRET_ACCESS_KEY": "word"}
    forge.variables = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    before = forge.push("Regularise more"), forge.released
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "failure"
    assert run.step("Train what is out of date") == "skipped"
    assert (forge.main, forge.released) == before
    assert "data and models could not be fetched" in run.summary
    assert "make doctor" in run.summary


def test_without_any_secret_everything_is_green_and_nothing_is_written(forge: Forge) -> None:
    forge.secrets = {}
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    pushed, released = forge.push("Regularise more"), forge.released
    runs = forge.pushed("train.yml", chain=True)
    assert [run.conclusion for run in runs] == ["success", "success"]
    assert (forge.main, forge.released) == (pushed, released)
    assert "There is no shared remote" in runs[0].log
    assert "export sugar: version" in runs[0].log
    assert "there is nothing to deploy" in runs[1].log


def test_a_protected_main_is_told_with_the_way_out(forge: Forge) -> None:
    forge.clone.change("  sugar:\n", "  sugar:\n    description: How far will it have gone?\n")
    pushed, released = forge.push("Describe it"), forge.released
    forge.settings.rules = (Rule("main"),)
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "failure" and run.step(STORE) == "failure"
    assert (forge.main, forge.released) == (pushed, released)
    body = forge.comments()[0]["body"]
    assert "# Trained, but not written back" in body
    assert "Protected branches" in body and "GH013" in body and "TRAIN_BY" in body
