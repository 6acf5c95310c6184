"""What a repository of models is made of keeps the rules that this repository keeps."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import ROOT
from tests.repository import test_workflows as rules
from treeline import __version__
from treeline.commands.params import mistakes
from treeline.config import PARAMS, read_params
from treeline.errors import ScaffoldError
from treeline.scaffold import contents as scaffold
from treeline.scaffold.contents import EXAMPLES, LOCKS, Answers, contents
from treeline.scaffold.origin import framework
from treeline.scaffold.record import Record, blob, read_record
from treeline.scaffold.writing import recorded, write_files
from treeline.sources import SOURCES

WORKFLOW = ".github/workflows/"
FILES = contents(Answers("birds", "penguins"))
WORKFLOWS = {
    path: rules.Document(content.decode())
    for path, content in FILES.items()
    if path.startswith(WORKFLOW)
}
TESTS_THE_MODELS = {"name": "Test the models", "run": "make test-models"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files."""
    folder = tmp_path_factory.mktemp("birds")
    write_files(folder, FILES)
    return folder


@pytest.mark.parametrize("path", WORKFLOWS)
@pytest.mark.parametrize(
    "rule",
    [
        rules.unlimited_jobs, rules.unfounded_permissions, rules.bare_versions,
        rules.unpinned_actions, rules.kept_credentials, rules.expressions_in_commands,
        rules.unversioned_runners, rules.shared_schedules, rules.inherited_secrets,
    ],
)  # fmt: skip
def test_a_workflow_keeps_the_rules(path: str, rule: Callable[[rules.Document], list[str]]) -> None:
    assert rule(WORKFLOWS[path]) == []


def test_the_workflows_belong_together() -> None:
    documents = list(WORKFLOWS.values())
    assert rules.lost_links(documents) == []
    ours = [rules.read(path) for path in rules.FILES]
    assert rules.actions_with_several_pins([*documents, *ours]) == []


def test_a_step_runs_a_task_of_its_own_makefile() -> None:
    tasks = set(re.findall(r"^([a-z-]+):", FILES["Makefile"].decode(), re.MULTILINE))
    for path, document in WORKFLOWS.items():
        for line in document.runs:
            assert re.fullmatch(r"make ([a-z-]+)", line), f"{path}: {line}"
            assert line.removeprefix("make ") in tasks, f"{path}: {line}"


@pytest.mark.parametrize("name", ["train", "review"])
def test_a_training_goes_the_way_of_this_repository_and_tests_its_models(name: str) -> None:
    path = f"{WORKFLOW}{name}.yml"
    (job,) = (each for each in WORKFLOWS[path].jobs.values() if "steps" in each)
    steps = [dict(step) for step in job["steps"]]
    assert TESTS_THE_MODELS in steps
    ours = rules.read(ROOT / path).jobs[name]["steps"]
    assert [step for step in steps if step != TESTS_THE_MODELS] == [dict(each) for each in ours]


LINTERS: dict[str, list[str]] = {
    "zizmor": ["zizmor", "--offline", "--no-progress", "--strict-collection",
               "--min-severity=medium", ".github"],
    "check-jsonschema": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows",
                         *WORKFLOWS],
    "yamllint": ["yamllint", "--strict", "-c", str(ROOT / ".yamllint.yaml"), "."],
    "hadolint": ["hadolint", "Dockerfile"],
    "shellcheck": ["shellcheck", "initializer.sh", ".ci/emulate"],
    "ruff": ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "src", "tests"],
    "codespell": ["codespell", "README.md", "Makefile", "Dockerfile", "src", "tests"],
}  # fmt: skip


@pytest.mark.parametrize("name", LINTERS)
def test_a_linter_has_nothing_to_say(written: Path, name: str) -> None:
    done = subprocess.run(LINTERS[name], cwd=written, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_are_understood_by_actionlint(written: Path) -> None:
    for path, document in WORKFLOWS.items():
        text = re.sub(r"@[0-9a-f]{40} +# (v\d+)[\d.]*", r"@\1", document.text)
        done = subprocess.run(
            ["actionlint", "-no-color", "-stdin-filename", path, "-"],
            cwd=written, input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout == ""


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each != scaffold.EMPTY])
def test_an_example_is_a_good_declaration(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, contents(Answers("birds", example)))
    monkeypatch.chdir(tmp_path)
    declared = read_params()
    assert list(declared.models) == [scaffold.MODELS[example]]
    assert mistakes(declared) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_that_some_need_can_be_had(lock: str) -> None:
    assert f"requirements/{lock}.txt" in contents(Answers("birds", "penguins", (lock,)))


def test_each_kind_of_source_has_its_folder() -> None:
    """DVC follows that of the kind that is declared, also where nothing lies in it.

    Who writes a function makes the folder for what it reads; `treeline params` says so.
    """
    assert {*scaffold.KINDS, "simulate", "python"} == set(SOURCES)


def test_no_word_is_left_to_fill_in() -> None:
    assert [path for path, content in FILES.items() if b"%%" in content] == []


def test_only_the_dependency_on_the_code_is_another_in_the_pipeline() -> None:
    ours = (ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()
    theirs = FILES["dvc.yaml"].decode().splitlines()
    changed = [line for line, other in zip(theirs, ours, strict=True) if line != other]
    assert len(changed) == 2
    assert changed[1].strip() == "- requirements/treeline.txt"


@pytest.mark.parametrize(
    ("named", "line"),
    [
        ("index", f"treeline=={__version__}"),
        ("git+https://example.org/treeline@v1", "treeline @ git+https://example.org/treeline@v1"),
        ("https://example.org/treeline.whl", "treeline @ https://example.org/treeline.whl"),
    ],
)
def test_the_framework_is_named_as_pip_reads_it(named: str, line: str) -> None:
    (content,) = framework(named).values()
    assert content.decode().splitlines()[-1] == line


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    record = recorded("1.2", Answers("birds", "penguins", ("lab",)), FILES)
    (tmp_path / "treeline.toml").write_text(record.to_text(), encoding="utf-8")
    assert read_record(tmp_path) == record
    assert PARAMS.name not in record.files


def test_a_digest_is_that_of_git(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some\n")
    done = subprocess.run(
        ["git", "hash-object", "file"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert blob(b"some\n") == done.stdout.strip()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "not found; run this from the root of a repository of models"),
        ("version = 1", "cannot be read"),
        ("=", "cannot be read"),
        (Record("1", Answers("birds", "cars")).to_text(), "example 'cars' is none of"),
    ],
)
def test_a_record_that_is_none_is_refused(text: str | None, complaint: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "treeline.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ScaffoldError, match=re.escape(complaint)):
        read_record(tmp_path)


def test_a_wheel_without_the_files_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere: Any = Path("nowhere")
    monkeypatch.setattr(scaffold, "CHECKOUT", nowhere)
    with pytest.raises(ScaffoldError, match="built for an image; install its wheel"):
        contents(Answers("birds", "penguins"))
