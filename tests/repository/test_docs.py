"""The documents name what there is: settings, workflows, tasks and files."""

import re
from pathlib import Path

import pytest

from tests.repository.test_workshop import ROOT, tasks
from treeline.doctor import settings

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
A_PAGE = 120

# What a repository of models has for tasks of its own.
THEIRS = ROOT / "src/treeline/scaffold/files/Makefile.in"
OF_MODELS = set(re.findall(r"^([a-z-]+):", THEIRS.read_text(encoding="utf-8"), re.MULTILINE))
ABOUT_THEM = {"own-repository.md", "first-model.md"}

code = re.compile(r"```bash\n(.*?)```|`([^`\n]+)`", re.DOTALL)
making = re.compile(r"^(?:\. \S+ && )?make ((?:[a-z][a-z-]*\b(?!=) ?)+)", re.MULTILINE)
linked = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def made(text: str) -> set[str]:
    """Return the tasks that the code in a document asks for."""
    pieces = ["".join(found) for found in code.findall(text)]
    return {word for piece in pieces for words in making.findall(piece) for word in words.split()}


def test_the_guide_names_every_setting_the_workflows_read() -> None:
    read = {name for _, name in settings.readers(ROOT / settings.WORKFLOWS)}
    assert read
    assert {name for name in read if f"`{name}`" not in GUIDE} == set()


def test_the_guide_names_every_workflow_and_no_other() -> None:
    there = {path.name for path in (ROOT / settings.WORKFLOWS).glob("*.yml")}
    assert set(re.findall(r"[a-z-]+\.yml", GUIDE)) == there


def test_the_guide_names_every_task_that_a_workflow_runs() -> None:
    run = {
        task
        for path in (ROOT / settings.WORKFLOWS).glob("*.yml")
        for task in re.findall(r"run: make ([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert run - {"check", "test", "test-wheel"} <= made(GUIDE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_asks_for_no_task_that_does_not_exist(path: Path) -> None:
    known = tasks() | (OF_MODELS if path.name in ABOUT_THEM else set())
    assert made(path.read_text(encoding="utf-8")) - known == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_links_to_files_that_exist(path: Path) -> None:
    links = linked.findall(path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= A_PAGE
