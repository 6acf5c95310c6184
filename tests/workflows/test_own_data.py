"""Rows of one's own, which only the remote has: what those do who may not read it."""

from pathlib import Path

import pytest
from sklearn.datasets import load_diabetes

from tests.workflows.runner import Forge

BRANCH = "change"
ROWS = "dataset/sources/file/rows.csv"


@pytest.fixture(scope="module")
def adopted(start: Forge, tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """Return a forge whose model learns from rows that are in the remote alone."""
    forge = start.copied(tmp_path_factory.mktemp("adopted") / "all")
    rows = forge.clone.root / ROWS
    rows.parent.mkdir(parents=True, exist_ok=True)
    load_diabetes(as_frame=True).frame.to_csv(rows, index=False)
    forge.clone.run("dvc", "add", "--quiet", ROWS)
    forge.clone.run("dvc", "push", "--quiet", ROWS)
    own = f"source: {{kind: file, path: {ROWS}}}"
    forge.clone.change("source: {kind: library, dataset: diabetes}", own)
    forge.push("Take rows of our own")
    forge.push("Change something", branch=BRANCH)
    return forge


@pytest.fixture
def owner(adopted: Forge, tmp_path: Path) -> Forge:
    """Return a copy of it, to be changed at will."""
    return adopted.copied(tmp_path / "all")


@pytest.mark.parametrize(
    ("who", "committed", "secret"),
    [("dependabot", "", "DVC_REMOTE_URL"), ("fork", "s3://bucket/place", "AWS_ACCESS_KEY_ID")],
)
def test_who_may_not_have_the_rows_is_told_which_secret_it_takes_and_is_green(
    owner: Forge, who: str, committed: str, secret: str
) -> None:
    """Also where the address of the remote is committed, for all to see, and its keys are not."""
    if committed:
        owner.clone.run("dvc", "remote", "add", "--default", "bucket", committed)
        owner.push("Name the bucket", branch=BRANCH)
    run = owner.request("review.yml", BRANCH, **{who: True})
    assert run.conclusion == "success", run.log
    assert "**sugar** is left out" in run.summary and secret in run.summary
    assert f"Everything is made anew from the sources, for {'the' if committed else 'there'}" in (
        run.log
    )
    assert "collect sugar:" not in run.log


def test_dependabot_has_a_store_of_its_own(owner: Forge) -> None:
    owner.settings.dependabot_secrets = dict(owner.secrets)
    owner.secrets = {}
    run = owner.request("review.yml", BRANCH, dependabot=True)
    assert run.conclusion == "success", run.log
    assert "collect sugar: 442 rows from file" in run.log and "left out" not in run.summary
