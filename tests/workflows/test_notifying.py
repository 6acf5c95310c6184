"""Somebody is told of a night that failed: one issue, which is closed when all is well again."""

import shutil

from tests.workflows.runner import Forge


def test_one_issue_is_opened_brought_up_to_date_and_closed(forge: Forge) -> None:
    away = forge.folder / "away"
    shutil.move(forge.storage, away)
    [run] = forge.wait_for_the_night()
    assert run.conclusion == "failure" and run.jobs["look"]["result"] == "failure"
    [issue] = forge.store.issues
    assert issue["state"] == "open" and f"/runs/{run.number}" in issue["body"]

    [run] = forge.wait_for_the_night()
    [issue] = forge.store.issues
    assert issue["state"] == "open" and f"/runs/{run.number}" in issue["body"]

    shutil.move(away, forge.storage)
    [run] = forge.wait_for_the_night()
    assert run.conclusion == "success", run.log
    [issue] = forge.store.issues
    assert issue["state"] == "closed" and "All is well again" in issue["body"]
