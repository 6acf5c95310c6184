"""What is in service and what is not: decided by two lists in git, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.checkout import PARAMS, Checkout
from treeline.delivery import releasing
from treeline.delivery.releasing import RELEASES, Entry
from treeline.deployment.records import (
    DEPLOYMENTS,
    FAILED,
    Place,
    by_digest,
    in_service,
    pending,
    record,
)
from treeline.errors import DeliveryError, DeploymentError
from treeline.signing import IMAGE_STATEMENT_FILE

IMAGE = "registry.example/treeline"
DIGEST = f"{IMAGE}@sha256:{'0' * 64}"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """Return a clone with a declaration and the contract of one model, and its origin."""
    made = Checkout(tmp_path / "clone")
    made.root.mkdir()
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    for name, value in (("name", "A person"), ("email", "person@example.invalid")):
        made.run("git", "config", f"user.{name}", value)
    made.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    made.run("git", "remote", "add", "origin", "../origin.git")
    (made.root / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(made.root)
    return made


def release(clone: Checkout, version: str, *, key: str = "") -> Entry:
    """Export a version of the model, commit and release it, and fetch the list."""
    path = clone.root / "model/sugar/signature.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": version}))
    entry = releasing.entry_for(clone.commit(f"Train {version}"))
    enter(clone, entry, key=key)
    return entry


def enter(clone: Checkout, entry: Entry, *, key: str = "") -> None:
    """Enter a release into the list, signed with a key, and fetch that."""
    statement = json.dumps({"signatures": [{"keyid": key}]}) if key else ""
    refspec = releasing.entered(entry, statement=statement)
    clone.run("git", "push", "--quiet", "origin", "HEAD", refspec)
    RELEASES.refresh()


def deployed(entry: Entry, *, image: str = DIGEST, failure: str = "", statement: str = "") -> None:
    place = Place("koyeb", "https://a.example")
    record(entry, image, place, failure=failure, statement=statement)
    DEPLOYMENTS.refresh()


def due() -> Entry | None:
    return pending("", unlisted=False).entry


def test_nothing_is_due_before_the_first_release(clone: Checkout) -> None:
    clone.commit("Begin")
    assert due() is None and "Nothing is released" in pending("", unlisted=False).reason


def test_a_release_is_due_until_it_is_in_service(clone: Checkout) -> None:
    entry = release(clone, "1")
    assert due() == entry
    deployed(entry)
    assert due() is None
    assert due() is None and in_service() is not None
    newer = release(clone, "2")
    assert due() == newer


def test_a_record_says_what_when_where_by_which_run_and_with_which_digest(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/forest")
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    entry = release(clone, "1")
    deployed(entry)
    document = json.loads(clone.run("git", "show", "origin/deployed:deployed.json").stdout)
    assert document.pop("when").endswith("Z")
    assert document == {
        "commit": entry.commit,
        "models": {"sugar": "1"},
        "passed": {"sugar": entry.commit},
        "image": DIGEST,
        "target": "koyeb",
        "url": "https://a.example",
        "run": "https://github.com/acme/forest/actions/runs/7",
        "outcome": "in service",
        "reason": "",
        "release": RELEASES.tip(),
        "serving": DIGEST,
    }
    tags = clone.run("git", "ls-remote", "--tags", "origin").stdout
    assert "refs/tags/model=sugar#production#1" in tags


def test_a_failed_deployment_is_told_and_due_again(clone: Checkout) -> None:
    entry = release(clone, "1")
    deployed(entry, failure="ended as UNHEALTHY")
    assert due() == entry
    assert "is tried again: ended as UNHEALTHY" in pending("", unlisted=False).reason
    assert (DEPLOYMENTS.last() or {})["outcome"] == FAILED and in_service() is None


def test_after_a_failed_deployment_the_list_still_says_what_is_in_service_and_who_signed_it(
    clone: Checkout,
) -> None:
    deployed(release(clone, "1"), statement="the first one's")
    deployed(release(clone, "2"), image="r.example/a/b:sha-2", failure="ended as UNHEALTHY")
    deployed(release(clone, "3"), image="r.example/a/b:sha-3", failure="ended as UNHEALTHY")
    assert (DEPLOYMENTS.last() or {})["serving"] == DIGEST
    shown = clone.run("git", "show", f"origin/deployed:{IMAGE_STATEMENT_FILE}")
    assert shown.stdout == "the first one's"


def test_what_a_person_went_back_to_stays_until_the_next_release(clone: Checkout) -> None:
    first, second = release(clone, "1"), release(clone, "2")
    deployed(second)
    assert pending("1", unlisted=False).entry == first
    deployed(first)
    assert due() is None
    third = release(clone, "3")
    assert due() == third


@pytest.mark.parametrize("failure", ["", "the host had no room"])
def test_an_image_of_before_is_found_by_its_digest_and_by_its_release_alone(
    clone: Checkout, failure: str
) -> None:
    """Also one that was not put in service: it was shipped, and is not built twice."""
    first = release(clone, "1")
    assert by_digest(first) is None
    deployed(first, failure=failure)
    found = by_digest(first)
    assert found is not None and found.image == DIGEST
    assert by_digest(release(clone, "2")) is None


def test_a_release_that_is_signed_anew_is_due_and_its_image_is_built_again(
    clone: Checkout,
) -> None:
    """The image holds the statement, which a service does not trust once the key is taken away."""
    entry = release(clone, "1", key="first")
    deployed(entry)
    assert due() is None and by_digest(entry) is not None
    enter(clone, entry, key="next")
    assert due() == entry and by_digest(entry) is None
    deployed(entry)
    assert due() is None and by_digest(entry) is not None
    second = release(clone, "2", key="next")
    assert due() == second and by_digest(entry) is not None


def test_a_commit_that_never_was_released_is_deployed_only_where_a_person_says_so(
    clone: Checkout,
) -> None:
    release(clone, "1")
    newer = clone.commit("An idea")
    with pytest.raises(DeliveryError, match="UNLISTED=true"):
        pending(newer, unlisted=False)
    decision = pending(newer, unlisted=True)
    assert decision.entry is not None and decision.entry.commit == newer


def test_a_record_that_git_refuses_is_told_with_the_permission_it_needs(clone: Checkout) -> None:
    entry = release(clone, "1")
    clone.run("git", "remote", "set-url", "origin", "../nowhere.git")
    with pytest.raises(DeploymentError, match="contents: write"):
        deployed(entry)
