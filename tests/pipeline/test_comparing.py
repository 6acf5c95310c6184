"""`make compare`: candidate against the incumbent of a revision, on the candidate's test rows."""

import json

import pytest

from tests.checkout import Checkout

ENTER = "from treeline.delivery import releasing; print(releasing.entered('HEAD'))"
COMPARE = ("-m", "treeline", "compare", "--base")


def test_the_same_model_is_told_to_be_that_and_needs_no_comparison(clone: Checkout):
    done = clone.python(*COMPARE, "HEAD")
    for name in ("flowers", "sugar"):
        assert f"## {name} is still the model of HEAD" in done.stdout
    assert not (clone.root / "model/sugar/comparison.json").exists()
    assert "still the model" in (clone.root / "model/sugar/comparison.md").read_text()
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_a_model_that_predicts_as_before_has_no_lead_and_may_ship(clone: Checkout):
    clone.change("  sugar:\n", "  sugar:\n    description: The same, in other words\n")
    clone.run("dvc", "repro", "export@sugar")
    assert "## sugar may ship" in clone.python(*COMPARE, "HEAD", "sugar").stdout
    found = json.loads((clone.root / "model/sugar/comparison.json").read_text())
    assert found["advantage"]["incumbent"]["rmse"] == {"value": 0, "low": 0, "high": 0}


def test_a_model_that_drops_too_far_must_not_ship(clone: Checkout):
    clone.change("alpha: 0.1", "alpha: 3")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=False)
    assert "## sugar must not ship" in done.stdout
    assert "rmse rose" in done.stdout and "a drop of 0.5 is allowed" in done.stdout


def test_the_incumbent_comes_from_the_remote_where_the_cache_has_lost_it(clone: Checkout):
    clone.run("dvc", "push")
    clone.change("alpha: 0.1", "alpha: 0.2")
    clone.run("dvc", "repro", "export@sugar")
    clone.run("rm", "-rf", ".dvc/cache")
    done = clone.python(*COMPARE, "HEAD", "sugar")
    assert "## sugar may ship" in done.stdout and "incumbent (HEAD)" in done.stdout


def test_an_incumbent_that_is_nowhere_is_told_and_decides_only_where_one_was_released(
    clone: Checkout, monkeypatch: pytest.MonkeyPatch
):
    clone.change("alpha: 0.1", "alpha: 0.2")
    clone.run("dvc", "repro", "export@sugar")
    clone.run("rm", "-rf", ".dvc/cache")
    alone = clone.python(*COMPARE, "HEAD", "sugar")
    assert "## sugar is compared with nothing" in alone.stdout
    assert "neither here nor from a shared remote" in alone.stdout
    monkeypatch.setenv("DVC_REMOTE_URL", str(clone.root.parent / "remote"))
    assert "compared with nothing" in clone.python(*COMPARE, "HEAD", "sugar").stdout
    entered = clone.python("-c", ENTER).stdout.strip()
    clone.run("git", "update-ref", "refs/remotes/origin/released", entered)
    done = clone.python(*COMPARE, "HEAD", "sugar", good=False)
    assert "## sugar cannot be compared" in done.stdout
    assert "cannot be fetched" in done.stdout and "was it pushed" in done.stdout


def test_a_model_that_is_new_has_nothing_to_be_compared_with(clone: Checkout):
    first = clone.run("git", "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    assert "has no such model" in clone.python(*COMPARE, first, "sugar").stdout


def test_an_unknown_revision_is_named(clone: Checkout):
    done = clone.python(*COMPARE, "nowhere", "sugar", good=False)
    assert "nowhere: no such revision" in done.stdout


def test_a_changed_contract_asks_for_a_person(clone: Checkout):
    clone.change("      s5: {type: number}\n", "")
    clone.run("dvc", "repro", "export@sugar")
    done = clone.python(*COMPARE, "HEAD", "sugar", good=False)
    assert "'s5'" in done.stdout and "the contract changed" in done.stdout
