"""What starts a workflow, by GitHub's documentation."""

from typing import Any

import pytest

from tests.github.events import Event, inputs_of, why_not

COMMIT = "0" * 40
MAIN, TAG = "refs/heads/main", "refs/tags/v1.0.0"


def starts(on: Any, name: str = "push", ref: str = MAIN, **more: Any) -> bool:
    return not why_not(on, Event(name, ref, COMMIT, **more))


@pytest.mark.parametrize("on", ["push", ["pull_request", "push"], {"push": None}, {"push": {}}])
def test_an_event_starts_what_names_it(on: Any) -> None:
    assert starts(on)
    assert not starts(on, "schedule")


@pytest.mark.parametrize("name", ["push", "pull_request"])
@pytest.mark.parametrize("words", ["[skip ci]", "[no ci]", "x\n\nskip-checks: true"])
def test_words_in_the_head_commit_stop_pushes_and_pull_requests(name: str, words: str) -> None:
    assert not starts([name], name, message=f"Train {words}", base="main")


@pytest.mark.parametrize("name", ["workflow_dispatch", "schedule", "merge_group"])
def test_they_stop_nothing_else(name: str) -> None:
    assert starts([name], name, message="Train [skip ci]", base="main")


def test_a_trigger_that_names_branches_only_is_not_started_by_tags() -> None:
    assert not starts({"push": {"branches-ignore": ["x"]}}, ref=TAG)
    assert not starts({"push": {"tags": ["v*"]}})
    assert starts({"push": {"tags": ["v*"]}}, ref=TAG)
    assert starts({"push": {}}, ref=TAG)
    numbered = {"push": {"tags": ["v[0-9]*"], "branches": ["main"]}}
    assert starts(numbered, ref=TAG) and not starts(numbered, ref="refs/tags/version")


def test_patterns_are_read_in_order() -> None:
    on = {"push": {"branches": ["**", "!gh-readonly-queue/**"]}}
    assert starts(on, ref="refs/heads/a/b")
    assert not starts(on, ref="refs/heads/gh-readonly-queue/main/pr-1-x")
    assert not starts({"push": {"branches": ["*"]}}, ref="refs/heads/a/b")


def test_paths_are_looked_at_for_pushes_and_pull_requests() -> None:
    ignoring = {"push": {"paths-ignore": ["docs/**"]}, "pull_request": {"paths": ["src/**"]}}
    assert not starts(ignoring, files=("docs/a.md",))
    assert starts(ignoring, files=("docs/a.md", "src/a.py"))
    assert starts(ignoring, "pull_request", files=("src/x/a.py",))
    assert not starts(ignoring, "pull_request", files=("docs/a.md",))


def test_a_completed_run_starts_what_follows_it_on_the_branch() -> None:
    on = {"workflow_run": {"workflows": ["Train"], "types": ["completed"], "branches": ["main"]}}
    run = {"name": "Train", "head_branch": "main"}
    assert starts(on, "workflow_run", payload={"workflow_run": run})
    assert not starts(on, "workflow_run", payload={"workflow_run": {**run, "name": "Test"}})
    assert not starts(on, "workflow_run", payload={"workflow_run": {**run, "head_branch": "x"}})


def test_inputs_have_types_and_defaults() -> None:
    declared = {"force": {"type": "boolean"}, "why": {"type": "string", "default": "none"}}
    assert inputs_of(declared, {"force": "true"}) == {"force": True, "why": "none"}
    assert inputs_of(declared, {}) == {"force": False, "why": "none"}
    with pytest.raises(ValueError, match="input why is required"):
        inputs_of({"why": {"required": True}}, {})
    with pytest.raises(ValueError, match="not among"):
        inputs_of({"how": {"type": "choice", "options": ["a"]}}, {"how": "b"})
