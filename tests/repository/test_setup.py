"""`make setup` says what is missing before it installs anything, and installs what locks name."""

import os
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.repository.test_workshop import LOCKS, ROOT, pinned

CARRIED = ("Makefile", "params.yaml", "pyproject.toml")
PYTHONS = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")
INSTALLING = runpy.run_path(str(ROOT / "requirements" / "install.py"), run_name="installing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with what `make setup` reads, and no git."""
    made = tmp_path / "my práctica"
    made.mkdir()
    for name in CARRIED:
        shutil.copyfile(ROOT / name, made / name)
    shutil.copytree(ROOT / "requirements", made / "requirements")
    return made


def setup(
    folder: Path, *, task: str = "setup", **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent), **settings}
    return subprocess.run(
        ["make", task], cwd=folder, env=environment,
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_a_folder_without_git_is_told_before_anything_is_installed(folder: Path) -> None:
    done = setup(folder)
    assert done.returncode != 0
    assert "This folder is no git repository" in done.stderr
    assert "git init && git add --all && git commit" in done.stderr
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("task", ["setup", "clean", "lock"])
@pytest.mark.parametrize("name", ["thesis.txt", "pyvenv.cfg", ".hidden"])
def test_a_folder_that_make_has_not_made_is_never_emptied(
    folder: Path, tmp_path: Path, task: str, name: str
) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("years of work", encoding="utf-8")
    done = setup(folder, task=task, VENV=str(tmp_path / "mine"))
    assert done.returncode != 0
    assert "make has not made it: name another folder (VENV=…)" in done.stderr
    assert (tmp_path / "mine" / name).read_text(encoding="utf-8") == "years of work"


def test_a_machine_without_a_supported_python_is_told(folder: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in PYTHONS:  # as a machine has them whose Python is too old or too new
        (tools / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    done = setup(folder, PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode != 0
    assert "Treeline needs Python 3.11, 3.12, 3.13 or 3.14" in done.stderr
    assert "make setup PYTHON=/path/to/python3" in done.stderr
    assert not (folder / ".venv").exists()


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    low, high = re.findall(r"\(3, (\d+)\)", makefile)
    assert versions == [f"3.{minor}" for minor in range(int(low), int(high))]
    assert f"Python {', '.join(versions[:-1])} or {versions[-1]}" in makefile
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Python {versions[0]} to {versions[-1]}" in page


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_distribution_of_a_lock_file_is_installed_in_some_part(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    items = INSTALLING["entries"](text)
    assert len(items) == len(pinned.findall(text))
    again = [item for part in INSTALLING["parts"](items, 24) for item in part]
    assert again == items
    assert all("--hash=sha256:" in item for item in items)


def test_texts_are_utf_8_below_make() -> None:
    script = "print-utf8:\n\t@python3 -c 'import sys; print(sys.flags.utf8_mode)'\n"
    done = subprocess.run(
        ["make", "-f", "Makefile", "-f", "-", "print-utf8"], cwd=ROOT, input=script,
        env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, encoding="utf-8",
        check=True,
    )  # fmt: skip
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("task", "settings", "lock"),
    [
        ("setup", {"DVC_REMOTE_URL": "azure://container/folder"}, "azure"),
        ("setup", {"DVC_REMOTE_URL": "gs://bucket/folder"}, "gs"),
        ("setup", {"DVC_REMOTE_URL": "s3://bucket/$(gs)"}, ""),
        ("publish", {"SIGNING": "keyless"}, "signing"),
        ("publish", {"SIGNING_KEY": "-----BEGIN PRIVATE KEY-----\nabc\n"}, "signing"),
        ("publish", {}, ""),
    ],
)
def test_what_only_some_remotes_and_signatures_need_is_installed_where_it_is_needed(
    folder: Path, task: str, settings: dict[str, str], lock: str
) -> None:
    unset = dict.fromkeys(("DVC_REMOTE_URL", "SIGNING", "SIGNING_KEY", "MLFLOW_TRACKING_URI"), "")
    told = subprocess.run(
        ["make", "--just-print", task], cwd=folder, env={**os.environ, **unset, **settings},
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    locks = re.findall(r"install\.py ([a-z]+);", told.stdout)
    assert [each for each in locks if each != "train"] == ([lock] if lock else [])


def test_a_committed_address_counts_too(folder: Path) -> None:
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(
        "['remote \"a\"']\n    url = azure://container/folder\n"
    )
    told = subprocess.run(
        ["make", "--just-print", "setup"], cwd=folder, env={**os.environ, "DVC_REMOTE_URL": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "install.py azure;" in told.stdout
