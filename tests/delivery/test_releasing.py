"""The list of released commits: what an entry says, which one is chosen, what is worth one."""

import json
from collections.abc import Callable

import pytest

from tests.delivery.forge import Forge
from treeline.delivery import releasing
from treeline.errors import DeliveryError

TRACKED = releasing.RELEASES.tracked
Release = Callable[[], str]


@pytest.fixture
def release(forge: Forge) -> Release:
    """Return a function that releases the commit checked out, and returns it."""

    def entered() -> str:
        commit = forge.clone.run("git", "rev-parse", "HEAD").stdout.strip()
        entry, _, _ = releasing.entered(releasing.entry_for(commit)).partition(":")
        forge.clone.run("git", "update-ref", TRACKED, entry)
        return commit

    return entered


def change(forge: Forge, path: str, text: str = "another text\n") -> str:
    target = forge.clone.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return forge.clone.commit(f"Change {path}")


def anew_at(commit: str) -> bool:
    return releasing.ships_anew(releasing.entry_for(commit), releasing.last())


def export(forge: Forge, model: str, version: str) -> str:
    path = forge.clone.root / "model" / model / "signature.json"
    signature = {**json.loads(path.read_text()), "version": version}
    return change(forge, f"model/{model}/signature.json", json.dumps(signature, indent=2))


def test_an_entry_names_the_commit_and_the_versions_of_its_models(
    forge: Forge, release: Release
) -> None:
    commit = release()
    shown = forge.clone.run("git", "show", f"{TRACKED}:released.json").stdout
    models = {"flowers": "flowers-1", "sugar": "sugar-1"}
    passed = dict.fromkeys(models, commit)
    assert json.loads(shown) == {"commit": commit, "models": models, "passed": passed}
    subject = forge.clone.run("git", "log", "-1", "--format=%s", TRACKED).stdout.strip()
    assert subject == f"Release {commit[:12]}: flowers flowers-1, sugar sugar-1"


def test_the_list_holds_one_file_and_every_release_in_its_history(
    forge: Forge, release: Release
) -> None:
    first, second = release(), (export(forge, "sugar", "2" * 12), release())[1]
    tree = forge.clone.run("git", "ls-tree", "-r", "--name-only", TRACKED).stdout
    assert tree.split() == ["released.json"]
    told = forge.clone.run("git", "log", "--format=%s", TRACKED).stdout.splitlines()
    assert [line.split()[1] for line in told] == [f"{second[:12]}:", f"{first[:12]}:"]


def test_entering_a_commit_leaves_the_checkout_as_it_is(forge: Forge, release: Release) -> None:
    (forge.clone.root / "README.md").write_text("half a thought\n")
    before = forge.clone.run("git", "status", "--porcelain", "--branch").stdout
    release()
    assert forge.clone.run("git", "status", "--porcelain", "--branch").stdout == before


def test_the_released_models_are_the_incumbents_and_before_the_first_release_those_of_head(
    forge: Forge, release: Release
) -> None:
    assert releasing.released() is None
    assert releasing.incumbent() == forge.tip()[:12]
    released = release()
    change(forge, "README.md")
    assert releasing.released() == released
    assert releasing.incumbent() == released[:12]


def test_the_last_release_is_chosen_when_nothing_is_named(forge: Forge, release: Release) -> None:
    release()
    export(forge, "sugar", "2" * 12)
    second = release()
    change(forge, "README.md")
    assert releasing.chosen("").commit == second


def test_a_commit_and_a_tag_name_themselves(forge: Forge, release: Release) -> None:
    first = release()
    change(forge, "README.md")
    forge.clone.run("git", "tag", "v1", first)
    names = (first, first[:8], "v1")
    assert [releasing.chosen(name).commit for name in names] == [first] * 3


@pytest.mark.usefixtures("release")
def test_a_commit_that_never_was_released_is_deployed_only_where_a_person_says_so(
    forge: Forge,
) -> None:
    newer = export(forge, "sugar", "2" * 12)
    with pytest.raises(DeliveryError, match=r"never released.* UNLISTED=true"):
        releasing.chosen(newer)
    assert releasing.chosen(newer, unlisted=True).commit == newer


def test_the_version_of_a_model_names_the_last_release_that_has_it(
    forge: Forge, release: Release
) -> None:
    release()
    export(forge, "flowers", "f" * 12)
    both = release()
    export(forge, "sugar", "2" * 12)
    release()
    assert releasing.chosen("sugar-1").commit == both
    assert releasing.chosen("f" * 12).commit != both


@pytest.mark.usefixtures("release")
def test_what_names_nothing_is_told_with_where_to_look(forge: Forge) -> None:
    with pytest.raises(DeliveryError, match="run the training on main first"):
        releasing.chosen("")
    with pytest.raises(DeliveryError, match=r"^nowhere: neither .* git log origin/released"):
        releasing.chosen("nowhere")


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("dvc.lock", True),
        ("model/sugar/report.md", True),
        ("dataset/sugar/summary.json", True),
        ("README.md", False),
        ("src/treeline/train.py", False),
        (".github/workflows/train.yml", False),
    ],
)
def test_a_commit_is_as_good_as_the_tested_one_when_only_training_wrote(
    forge: Forge, *, path: str, good: bool
) -> None:
    tested = forge.tip()
    assert releasing.releasable(tested, tested=tested)
    assert releasing.releasable(change(forge, path), tested=tested) is good


@pytest.mark.parametrize(
    ("path", "anew"),
    [
        ("README.md", False),
        ("tests/test_sugar.py", False),
        ("model/sugar/report.md", False),
        ("requirements/dev.txt", False),
        ("api/app.py", True),
        ("src/treeline/train.py", True),
        ("Dockerfile", True),
        ("requirements/serve.txt", True),
    ],
)
def test_only_what_goes_into_the_image_is_worth_deploying(
    forge: Forge, release: Release, *, path: str, anew: bool
) -> None:
    assert anew_at("HEAD"), "nothing is released yet"
    release()
    assert not anew_at("HEAD")
    assert anew_at(change(forge, path)) is anew


def test_a_new_version_and_a_model_that_is_declared_no_more_are_worth_deploying(
    forge: Forge, release: Release
) -> None:
    release()
    assert anew_at(export(forge, "sugar", "2" * 12))
    release()
    forge.clone.change("  sugar:\n", "  sweet:\n")
    assert anew_at(forge.clone.commit("Rename a model"))
    release()
    assert releasing.chosen("").models == {"flowers": "flowers-1"}


def test_a_model_that_is_held_back_goes_on_as_it_was_released_last(
    forge: Forge, release: Release
) -> None:
    first = release()
    export(forge, "flowers", "f" * 12)
    newer = export(forge, "sugar", "2" * 12)
    entry = releasing.entry_for(newer, held=["sugar"])
    assert entry.models == {"flowers": "f" * 12, "sugar": "sugar-1"}
    assert entry.passed == {"flowers": newer, "sugar": first}
    assert not entry.whole


def test_an_entry_of_before_says_that_all_models_passed_at_its_commit() -> None:
    older = releasing.Entry.of({"commit": "c", "models": {"sugar": "1"}})
    assert (older.passed, older.whole) == ({"sugar": "c"}, True)
