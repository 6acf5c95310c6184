"""The API as workflows and people ask it: rows, permissions, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.github.hub import GitHub
from tests.github.rest import Call, Refused
from tests.github.settings import PERSONAL, Environment, Rule, Settings, Token
from tests.github.toys import toy

READS = Token("GITHUB_TOKEN", {"contents": "read"})
WRITES = Token("GITHUB_TOKEN", dict.fromkeys(("contents", "issues", "pull-requests"), "write"))


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    rules = (Rule("main", bypass=("APP",)),)
    places = {"production": Environment(variables={"IMAGE": "acme/toy"})}
    settings = Settings(secrets={"A": "hidden"}, rules=rules, environments=places)
    work, made = toy(tmp_path, settings)
    work.commit("Begin")
    work.commit("Train", branch="retrain/today")
    return made


def ask(
    github: GitHub, method: str, path: str, *, token: Token | None = PERSONAL, **document: Any
) -> Any:
    """Ask the API; what stands behind `?` is the query."""
    place, _, query = path.partition("?")
    pairs = dict(each.split("=", 1) for each in query.split("&") if each)
    call = Call(method, f"/repos/acme/toy{place}", pairs, json.dumps(document).encode(), token)
    return json.loads(github.rest.answer(call).body or "null")


def refusal(github: GitHub, method: str, path: str, **more: Any) -> int:
    with pytest.raises(Refused) as refused:
        ask(github, method, path, **more)
    return refused.value.status


def test_a_comment_on_a_commit_cannot_be_edited_by_the_token_of_a_job(github: GitHub) -> None:
    commit = github.origin.resolve("main")
    made = ask(github, "POST", f"/commits/{commit}/comments", token=WRITES, body="Well done")
    assert commit in made["html_url"]
    edit = "PATCH", f"/comments/{made['id']}"
    assert refusal(github, *edit, token=WRITES, body="Better") == 422
    assert ask(github, *edit, body="Better")["body"] == "Better"


def test_who_may_not_is_refused_and_who_says_not_who_it_is_too(github: GitHub) -> None:
    assert refusal(github, "POST", "/issues", token=READS, title="x", body="y") == 403
    assert refusal(github, "POST", "/issues", token=None, title="x", body="y") == 401


@pytest.mark.parametrize("body", ["", " \n", "x" * 65_537])
def test_a_comment_has_a_body_and_a_bounded_one(github: GitHub, body: str) -> None:
    assert refusal(github, "POST", "/issues/1/comments", body=body) == 422


def test_a_commit_that_is_not_there_takes_no_comment(github: GitHub) -> None:
    assert refusal(github, "POST", f"/commits/{'0' * 40}/comments", body="x") == 422


def test_an_issue_is_opened_found_and_closed(github: GitHub) -> None:
    made = ask(github, "POST", "/issues", title="Red", body="x", labels=["training"])
    assert [row["number"] for row in ask(github, "GET", "/issues?labels=training")] == [1]
    assert ask(github, "GET", "/issues?labels=other") == []
    ask(github, "PATCH", f"/issues/{made['number']}", state="closed")
    assert ask(github, "GET", "/issues") == []
    assert len(ask(github, "GET", "/issues?state=all")) == 1


def test_a_pull_request_is_opened_found_and_merged_by_itself_where_allowed(
    github: GitHub,
) -> None:
    branch = "retrain/today"
    made = ask(github, "POST", "/pulls", title="Train", body="x", head=branch, base="main")
    assert [row["number"] for row in ask(github, "GET", "/pulls?head=acme:retrain/today")] == [1]
    query = "mutation { enablePullRequestAutoMerge }"
    document = {"query": query, "variables": {"id": made["node_id"]}}
    call = Call("POST", "/graphql", {}, json.dumps(document).encode(), PERSONAL)
    assert "errors" in json.loads(github.rest.answer(call).body)
    github.settings.allow_auto_merge = True
    assert "errors" not in json.loads(github.rest.answer(call).body)
    assert github.store.pulls[0]["auto_merge"]


def test_rules_environments_and_settings_are_listed_without_secrets(github: GitHub) -> None:
    assert ask(github, "GET", "/rules/branches/main")[0]["type"] == "pull_request"
    assert ask(github, "GET", "/rules/branches/other") == []
    assert ask(github, "GET", "/environments")["environments"] == [{"name": "production"}]
    assert ask(github, "GET", "/actions/secrets") == {"total_count": 1, "secrets": [{"name": "A"}]}
    [variable] = ask(github, "GET", "/environments/production/variables")["variables"]
    assert variable == {"name": "IMAGE", "value": "acme/toy"}
    assert refusal(github, "GET", "/environments/other/secrets") == 404


def test_artifacts_are_found_by_name(github: GitHub) -> None:
    github.store.add("artifacts", name="a", workflow_run={"head_repository_id": 1})
    reads = Token("GITHUB_TOKEN", {"actions": "read"})
    assert ask(github, "GET", "/actions/artifacts?name=a", token=reads)["total_count"] == 1
    assert ask(github, "GET", "/actions/artifacts?name=b", token=reads)["total_count"] == 0
    assert refusal(github, "GET", "/actions/artifacts", token=READS) == 403


def test_what_it_does_not_have_is_said(github: GitHub) -> None:
    assert refusal(github, "GET", "/pages") == 404
