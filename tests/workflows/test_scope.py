"""What is tested when: code that has passed is not tested again, and each thing is tested once."""

import json
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from tests.checkout import ROOT
from tests.github.events import Event
from tests.github.run import Run
from tests.workflows.runner import WITHOUT_TESTS, Forge

SCOPE = run_path(str(ROOT / ".ci" / "scope.py"))
BRANCH = "change"
TREE = [
    "100644 blob 1\tsrc/treeline/gate.py",
    "100644 blob 2\tparams.yaml",
    "100644 blob 3\tdocs/api.md",
]


# --- digests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("api/main.py", "code"),
        ("tests/test_gate.py", "code"),
        ("requirements/dev.txt", "code"),
        ("Makefile", "code"),
        (".github/workflows/test.yml", "code"),
        ("params.yaml", "models"),
        ("dataset/sources/file/rows.csv.dvc", "models"),
        ("model/iris/signature.json", "models"),
        ("dvc.lock", "models"),
        ("docs/api.md", "documents"),
        ("README.md", "documents"),
        ("notebooks/first.ipynb", "documents"),
    ],
)
def test_a_file_is_code_or_of_models_or_a_document(path: str, kind: str) -> None:
    assert SCOPE["kind"](path) == kind


@pytest.mark.parametrize(
    ("changed", "tested_again"),
    [(0, {"code", "models"}), (1, {"models"}), (2, set())],
    ids=["code", "params", "documents"],
)
def test_a_digest_changes_with_what_its_tests_depend_on(
    changed: int, tested_again: set[str]
) -> None:
    lines = [line.replace("blob", "blob 9") if at == changed else line
             for at, line in enumerate(TREE)]  # fmt: skip
    before, after = SCOPE["digests"](TREE), SCOPE["digests"](lines)
    assert {name for name in before if before[name] != after[name]} == tested_again


@pytest.mark.parametrize(
    ("row", "trusted"),
    [
        ({"workflow_run": {"head_repository_id": 1, "repository_id": 1}}, True),
        ({"workflow_run": {"head_repository_id": 2, "repository_id": 1}}, False),
        ({"workflow_run": {"head_repository_id": 1, "repository_id": 1}, "expired": True}, False),
        ({"workflow_run": None}, False),
    ],
    ids=["ours", "of a fork", "expired", "of no run"],
)
def test_only_a_run_of_this_repository_vouches_for_code(row: dict[str, Any], trusted: bool) -> None:
    assert SCOPE["is_ours"](row) is trusted


# --- what runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tested(start: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[Forge, Run]:
    """Return a forge whose main has been tested, and the run that did."""
    forge = start.copied(tmp_path_factory.mktemp("tested") / "all")
    (forge.clone.root / "GNUmakefile").write_text(WITHOUT_TESTS)
    forge.push("Leave out more")
    forge.settings.prepare = None
    [run] = forge.press("test.yml")
    assert run.conclusion == "success", run.log
    return forge, run


@pytest.fixture
def later(tested: tuple[Forge, Run], tmp_path: Path) -> Forge:
    """Return a copy of that forge, to be changed at will."""
    forge = tested[0].copied(tmp_path / "all")
    forge.settings.prepare = None
    return forge


def jobs(run: Run) -> set[str]:
    """Return the jobs that ran, with those of the tests as they are named in test.yml."""
    return {name for name, job in run.jobs.items() if job["result"] != "skipped"}


def test_code_that_nobody_has_tested_is_tested_on_all_versions(tested: tuple[Forge, Run]) -> None:
    forge, run = tested
    assert jobs(run) == {"scope", "check", "test", "wheel", "passed"}
    assert {name for name in run.minutes if name.startswith("test-")} == {"test-3.11", "test-3.14"}
    assert {row["name"].rpartition("-")[0] for row in forge.store.artifacts} == {
        "tested-code",
        "tested-models",
    }


def test_code_that_has_passed_is_not_tested_again(later: Forge) -> None:
    [run] = later.press("test.yml")
    assert jobs(run) == {"scope", "check"}
    assert run.conclusion == "success"
    assert "The tests of the code passed before on the same files: left out." in str(run.notes)


def test_a_change_of_the_declaration_runs_the_tests_of_the_models(later: Forge) -> None:
    later.clone.change("alpha: 0.1", "alpha: 0.2")
    later.push("Regularise more")
    [run] = later.press("test.yml")
    assert jobs(run) == {"scope", "check", "models", "wheel", "passed"}


def test_a_change_of_documents_runs_the_checks_alone(later: Forge) -> None:
    (later.clone.root / "docs" / "news.md").write_text("# News\n")
    later.push("Tell some news")
    [run] = later.press("test.yml")
    assert jobs(run) == {"scope", "check"}


def test_what_a_pull_request_has_passed_is_not_tested_again_on_main(later: Forge) -> None:
    (later.clone.root / "api" / "new.py").write_text("NEW = 1\n")
    later.push("Serve something new", branch=BRANCH)
    assert "test" in jobs(later.request("test.yml", BRANCH))
    later.push("Merge it")
    [run] = later.press("test.yml")
    assert jobs(run) == {"scope", "check"}


def test_what_a_fork_says_has_passed_is_tested_again(later: Forge) -> None:
    (later.clone.root / "api" / "new.py").write_text("NEW = 1\n")
    later.push("Serve something new", branch=BRANCH)
    later.request("test.yml", BRANCH, fork=True)
    later.push("Merge it")
    [run] = later.press("test.yml")
    assert "test" in jobs(run)


def test_tests_that_fail_vouch_for_nothing(later: Forge) -> None:
    (later.clone.root / "api" / "new.py").write_text("NEW = 1\n")
    makefile = later.clone.root / "GNUmakefile"
    makefile.write_text("test-wheel:\n\t@exit 1\n" + WITHOUT_TESTS.replace(" test-wheel", ""))
    later.push("Break the wheel")
    before = len(later.store.artifacts)
    [run] = later.press("test.yml")
    assert run.conclusion == "failure" and len(later.store.artifacts) == before


# --- what starts ---------------------------------------------------------------------------------


def started(forge: Forge, event: Event) -> list[str]:
    return forge.github.started_by(event)


def test_a_pull_request_is_tested_once_and_its_branch_by_itself_never(later: Forge) -> None:
    later.clone.change("alpha: 0.1", "alpha: 0.2")
    later.push("Regularise more", branch=BRANCH)
    github = later.github
    assert started(later, github.pull_request(BRANCH)) == ["review.yml", "test.yml"]
    assert started(later, github.pushed(BRANCH)) == []


def test_a_pull_request_of_documents_trains_nothing(later: Forge) -> None:
    (later.clone.root / "docs" / "news.md").write_text("# News\n")
    later.push("Tell some news", branch=BRANCH)
    assert started(later, later.github.pull_request(BRANCH)) == ["test.yml"]


def test_a_merge_queue_is_tested_by_its_group_alone(later: Forge) -> None:
    later.push("Change nothing", branch=BRANCH)
    push, group = later.github.queued(BRANCH)
    assert (started(later, push), started(later, group)) == ([], ["test.yml"])


@pytest.mark.parametrize(
    ("tag", "files"),
    [("v1.0.0", ["release.yml"]), ("sugar@v1.0.0", []), ("sugar#production#1", [])],
)
def test_a_tag_starts_nothing_but_a_release(later: Forge, tag: str, files: list[str]) -> None:
    later.git("tag", tag, "main")
    assert started(later, later.github.tagged(tag)) == files


def test_the_button_pressed_on_a_tag_trains_and_deploys_nothing(later: Forge) -> None:
    later.git("tag", "v1.0.0", "main")
    branches = later.git("branch", "--list")
    for workflow in ("train.yml", "deploy.yml"):
        [run] = later.press(workflow, ref="refs/tags/v1.0.0")
        assert run.conclusion == "skipped"
    assert later.git("branch", "--list") == branches


def test_a_push_to_main_of_documents_is_not_trained_from(later: Forge) -> None:
    (later.clone.root / "docs" / "news.md").write_text("# News\n")
    later.push("Tell some news")
    [run] = later.pushed("train.yml")
    assert run.jobs["train"]["result"] == "skipped" and run.conclusion == "success"


def test_each_push_to_main_is_tested_though_others_follow(later: Forge) -> None:
    events = []
    for number in range(3):
        (later.clone.root / "docs" / "news.md").write_text(f"# News {number}\n")
        later.push(f"Tell news {number}")
        events.append(("train.yml", later.github.pushed("main")))
    runs = later.github.together(events)
    assert [run.conclusion for run in runs] == ["success"] * 3


def test_the_names_of_the_artifacts_say_what_was_tested(tested: tuple[Forge, Run]) -> None:
    forge, run = tested
    folder = run.folder / "artifacts"
    [name] = [path.name for path in folder.iterdir() if path.name.startswith("tested-code")]
    assert json.loads((folder / name / "tested.json").read_text())["code"] == name
    assert name in {row["name"] for row in forge.store.artifacts}
