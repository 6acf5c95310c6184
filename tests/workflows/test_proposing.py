"""A main that takes pull requests only: models come by one, and are released when it is merged."""

import json

from tests.github.settings import Rule
from tests.workflows.runner import Forge


def test_models_come_by_pull_request_and_are_released_when_it_is_merged(forge: Forge) -> None:
    forge.settings.rules = (Rule("main"),)
    forge.settings.actions_open_pulls = True
    forge.variables["TRAIN_BY"] = "pull-request"
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    pushed, released = forge.push("Regularise more"), forge.released
    trained, *later = forge.pushed("train.yml", chain=True)
    assert trained.conclusion == "success", trained.log
    assert (forge.main, forge.released) == (pushed, released)

    [pull] = forge.store.pulls
    branch = pull["head"]["ref"]
    assert branch.startswith("retrain/") and pull["base"]["ref"] == "main"
    assert pull["title"] == "Train sugar" == forge.git("log", "-1", "--format=%s", branch)
    assert "### sugar may ship" in pull["body"]

    tests = next(run for run in later if run.file == "test.yml")
    assert tests.event.ref == f"refs/heads/{branch}" and tests.conclusion == "success"

    forge.settings.rules = ()
    forge.git("update-ref", "refs/heads/main", branch)  # somebody merges it
    [run] = forge.pushed("train.yml")
    assert run.conclusion == "success", run.log
    assert "Running stage 'train@sugar'" not in run.log
    entry = json.loads(forge.git("show", "released:released.json"))
    assert entry["commit"] == forge.main == pull["head"]["sha"]
