"""`treeline new`, from the wheel: a repository of models that trains, tests and serves its own."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.scaffold.conftest import Installed, git, lend_environment
from treeline.config import PARAMS, Layout, read_params

MOST_FILES = 40
SOME_CLASS = """\
from sklearn.base import BaseEstimator


class Halved(BaseEstimator):
    def fit(self, frame, target=None):
        self.fitted_ = True
        return self

    def transform(self, frame):
        return frame / 2
"""


@pytest.fixture
def copy(birds: Path, tmp_path: Path) -> Path:
    """Return a copy of the repository, to be changed at will."""
    return Path(shutil.copytree(birds, tmp_path / "birds", symlinks=True))


def first_commit(folder: Path) -> list[str]:
    first = git(folder, "rev-list", "--max-parents=0", "HEAD").strip()
    return git(folder, "ls-tree", "-r", "--name-only", first).splitlines()


def test_it_has_few_files_and_all_of_them_are_committed(birds: Path) -> None:
    files = first_commit(birds)
    assert len(files) <= MOST_FILES
    assert {"params.yaml", "dvc.yaml", "Makefile", "Dockerfile", "initializer.sh"} <= set(files)
    assert git(birds, "status", "--porcelain") == ""
    assert os.access(birds / "initializer.sh", os.X_OK)


def test_its_packages_are_pinned_with_digests_and_no_address_is_named(birds: Path) -> None:
    for path in (birds / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text and "index-url" not in text, path.name
        for line in text.splitlines():
            assert line.startswith(("#", " ")) or "==" in line or "--hash" in line, line
    line = (birds / "requirements/treeline.txt").read_text(encoding="utf-8").splitlines()[-1]
    assert line.startswith("./requirements/treeline-")


def test_training_ran_by_the_installed_package_and_has_nothing_left_to_do(
    birds: Path, installed: Installed
) -> None:
    paths = Layout("penguins", birds)
    assert json.loads(paths.verdict.read_text(encoding="utf-8"))["passed"]
    assert "requirements/treeline.txt" in (birds / "dvc.lock").read_text(encoding="utf-8")
    done = installed.run("dvc", "status", cwd=birds)
    assert "up to date" in done.stdout
    code = json.loads((birds / "model/code.json").read_text(encoding="utf-8"))
    assert "treeline.trainers.sklearn" in code
    assert not [name for name in code if "carried" in name]


def test_its_own_two_commands_train_test_and_serve(copy: Path, installed: Installed) -> None:
    """The environment is this one, so that nothing is installed again."""
    lend_environment(copy)
    done = installed.run("make", "test", cwd=copy)
    assert "Everything was up to date" in done.stdout
    assert "8 passed" in done.stdout
    listed = installed.run("make", cwd=copy).stdout
    assert "make run" in listed and "make test" in listed


def test_a_class_of_ones_own_is_that_of_the_repository_and_followed(
    copy: Path, installed: Installed
) -> None:
    (copy / "src/own/halving.py").write_text(SOME_CLASS, encoding="utf-8")
    text = (copy / PARAMS).read_text(encoding="utf-8")
    named = "      logistic:\n        preprocessors: own.halving.Halved\n"
    (copy / PARAMS).write_text(text.replace("      logistic:\n", named), encoding="utf-8")
    assert "good" in installed.treeline("params", cwd=copy).stdout
    installed.run("dvc", "repro", "digest", cwd=copy)
    followed = json.loads(Layout("penguins", copy).inputs.joinpath("train.json").read_text())
    assert "own/halving.py" in followed["code"]
    path = "from treeline.registry import admit_own_classes as a; a(); import own; print(own)"
    assert str(copy / "src") in installed.run(sys.executable, "-P", "-c", path, cwd=copy).stdout


def test_a_repository_of_another_version_is_not_trained(copy: Path, installed: Installed) -> None:
    record = copy / "treeline.toml"
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    others = ['version = "9.9"\n' if line.startswith("version") else line for line in lines]
    record.write_text("".join(others), encoding="utf-8")
    done = installed.run(
        sys.executable, "-P", "-m", "treeline.stages", "code", cwd=copy, good=False
    )
    assert "treeline.toml names treeline 9.9, and this Python has" in done.stderr
    assert "treeline upgrade" in done.stderr


def test_a_table_becomes_its_first_model(installed: Installed, tmp_path: Path) -> None:
    rows = [
        f"{n};{n * 7 % 31},5;{'ab'[n % 2]};{'yes' if n * 5 % 7 < 3 else 'no'}" for n in range(90)
    ]
    (tmp_path / "staff.csv").write_text("\n".join(["id;pay;team;left", *rows]), encoding="utf-8")
    installed.treeline("new", "mine", "--from", "staff.csv", "--target", "left", cwd=tmp_path)
    declared = read_params(tmp_path / "mine" / PARAMS)
    assert declared.default == "staff"
    assert list(declared.models["staff"].features) == ["pay", "team"]
    assert git(tmp_path / "mine", "status", "--porcelain") == ""
    assert len(git(tmp_path / "mine", "log", "--format=%h").split()) == 2


def test_a_table_that_is_not_understood_leaves_a_repository_and_the_way_out(
    installed: Installed, tmp_path: Path
) -> None:
    (tmp_path / "staff.csv").write_text("id,left\n1,yes\n2,no\n", encoding="utf-8")
    command = ("new", "mine", "--from", "staff.csv", "--target", "gone")
    complaint = installed.treeline(*command, cwd=tmp_path, good=False).stderr
    assert "gone" in complaint.splitlines()[0]
    assert "mine: is made, and params.yaml declares no model yet, for the reason above" in complaint
    assert "make add FILE=" in complaint
    assert git(tmp_path / "mine", "status", "--porcelain") == ""


def test_one_without_a_model_says_how_to_declare_one(installed: Installed, tmp_path: Path) -> None:
    said = installed.treeline("new", "mine", "--example", "empty", cwd=tmp_path).stdout
    assert "make add FILE=path/to/table.csv TARGET=column" in said
    done = installed.treeline("repro", cwd=tmp_path / "mine", good=False)
    assert done.stderr.startswith("params.yaml: declares no model yet; draft one: make add")


def test_a_readme_that_is_there_stays(installed: Installed, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "mine")
    (tmp_path / "mine/README.md").write_text("mine\n", encoding="utf-8")
    installed.treeline("new", "mine", "--with", "lab", cwd=tmp_path)
    assert (tmp_path / "mine/README.md").read_text(encoding="utf-8") == "mine\n"
    assert (tmp_path / "mine/requirements/lab.txt").is_file()


def test_what_lay_in_its_folder_before_is_not_committed(
    installed: Installed, tmp_path: Path
) -> None:
    """Rows are for DVC, and a password is for nobody; what its owner ignores everywhere is not."""
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "staff.csv").write_text("pay;left\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "config", "core.excludesFile", str(tmp_path / "ignored"))
    (tmp_path / "ignored").write_text("*.whl\n.dvc\n", encoding="utf-8")
    said = installed.treeline("new", "my models", "--example", "empty", cwd=tmp_path).stdout
    assert "  cd 'my models'\n" in said
    assert git(folder, "status", "--porcelain") == "?? staff.csv\n"
    files = first_commit(folder)
    assert ".dvc/config" in files and any(each.endswith(".whl") for each in files)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["taken"], "taken: has params.yaml already, and nothing is written over"),
        (["taken/inside"], "lies in the repository"),
        (["other.whl"], "other.whl is a file; name a folder"),
        (["other.whl/inside"], "other.whl is a file; name a folder"),
        (["mine", "--framework", "no.whl"], "--framework no.whl: not there; give a wheel"),
        (["mine", "--framework", "other.whl"], "give its wheel, named treeline-"),
        (["mine", "--from", "no.csv", "--target", "left"], "no.csv: not a file"),
        (["mine", "--example", "cars"], "choose from empty, fraud, penguins, tree-survival"),
        (["mine", "--from", "a.csv"], "--from and --target go together"),
        (["mine", "--with", "rust"], "choose from azure, engines, full"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_is_written(
    installed: Installed, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    git(tmp_path, "init", "--quiet", "taken")
    (tmp_path / "taken" / PARAMS).write_text("", encoding="utf-8")
    (tmp_path / "other.whl").write_bytes(b"")
    before = sorted(map(str, tmp_path.rglob("*")))
    assert complaint in installed.treeline("new", *arguments, cwd=tmp_path, good=False).stderr
    assert sorted(map(str, tmp_path.rglob("*"))) == before
