"""Pull requests: what they would train, told on them; and nothing else done."""

from tests.workflows.runner import Forge

BRANCH = "more-alpha"


def test_a_pull_request_is_commented_and_the_comment_kept_up_to_date(forge: Forge) -> None:
    main = forge.main
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    forge.push("Regularise more", branch=BRANCH)
    run = forge.request("review.yml", BRANCH)
    assert run.conclusion == "success"
    [comment] = forge.store.issue_comments
    assert "# Trained: sugar" in comment["body"] and "### sugar may ship" in comment["body"]
    forge.clone.change("r2: 0.05", "r2: 0.9")
    forge.push("Ask for more", branch=BRANCH)
    run = forge.request("review.yml", BRANCH)
    assert run.conclusion == "failure"
    [comment] = forge.store.issue_comments
    assert "# Refused at the gate: sugar" in comment["body"]
    assert forge.main == main and not forge.comments()


def test_a_pull_request_from_a_fork_is_green_without_secrets_and_reports_on_its_page(
    forge: Forge,
) -> None:
    forge.clone.change("alpha: 0.1", "alpha: 0.2")
    forge.push("Regularise more", branch=BRANCH)
    run = forge.request("review.yml", BRANCH, fork=True)
    assert run.conclusion == "success"
    assert "Everything is made anew" in run.log
    assert "# Trained: sugar" in run.summary
    assert run.step("Comment") == "skipped"
    assert not forge.store.issue_comments
