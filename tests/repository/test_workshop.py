"""The workshop around the code keeps its word: tasks, lock files, size and names of modules."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
MODULES = sorted(path for top in ("src", "api") for path in (ROOT / top).rglob("*.py"))
MOST_LINES = 400
SAYS_NOTHING = {"common", "helper", "helpers", "misc", "util", "utils"}
KNOWN_TO_THE_SERVICE = {
    *("artifact", "buckets", "contract", "errors", "files", "jobs", "registry", "signing"),
}
OF_A_MACHINE = re.compile(
    r"://|index-url|find-links|trusted-host|\bfile:|(^|[\s'\"=])(/|~/|[A-Z]:\\)|\S+:\S+@|\s@\s"
)

pinned = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;]+)", re.MULTILINE)


def tasks() -> set[str]:
    """Return the names of the rules in the Makefile, leaving out files and variables."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def lock(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, folder / "requirements" / "lock.py"],
        check=False,
        capture_output=True,
        text=True,
    )


def test_make_help_explains_every_task_and_no_other() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    explained = set(re.findall(r"^ +make ([a-z-]+) +\S", told.stdout, re.MULTILINE))
    assert explained == tasks()


def test_every_task_is_run_even_when_a_file_bears_its_name() -> None:
    phony = re.findall(r"^\.PHONY:([a-z -]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tasks() <= set(" ".join(phony).split())


def test_every_task_that_the_readme_runs_exists() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    lines = [line.split("#")[0].split() for block in blocks for line in block.splitlines()]
    made = [words[1:] for words in lines if words[:1] == ["make"]]
    asked = {word for words in made for word in words if re.fullmatch(r"[a-z][a-z-]*", word)}
    assert asked, "the README runs no task at all"
    assert asked <= tasks()


def test_the_lock_files_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for path in LOCKS:
        for name, version in pinned.findall(path.read_text()):
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_file_pins_and_hashes_every_line(path: Path) -> None:
    entries = re.split(r"^(?=[^\s#])", path.read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if not pinned.match(entry) or "--hash=" not in entry] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_file_names_no_index_path_or_credential(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if OF_A_MACHINE.search(line)] == []


def test_the_lock_files_fit_pyproject() -> None:
    told = lock(ROOT)
    assert told.returncode == 0, told.stderr


def test_a_changed_dependency_asks_for_new_lock_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    declaration = (ROOT / "pyproject.toml").read_text()
    changed = declaration.replace('"fastapi', '"starlette", "fastapi')
    (tmp_path / "pyproject.toml").write_text(changed)
    told = lock(tmp_path)
    assert told.returncode == 1
    assert "run `make lock`" in told.stderr


def test_a_new_linter_leaves_the_lock_file_of_the_training_alone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    declaration = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(
        declaration.replace('"codespell', '"pyflakes", "codespell')
    )
    assert lock(tmp_path).stderr.strip().endswith("since engines.txt, dev.txt: run `make lock`")


def test_no_module_is_longer_than_400_lines() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in MODULES}
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}


def test_every_module_is_named_for_what_it_does() -> None:
    assert [path for path in MODULES if SAYS_NOTHING & {path.stem, path.parent.name}] == []


def test_every_module_of_the_pipeline_is_forbidden_to_the_service() -> None:
    """import-linter notes a name too many in that list; this notes one too few."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = [each for each in linter["contracts"] if each.get("source_modules") == ["api"]]
    package = ROOT / "src" / "treeline"
    parts = {
        path.relative_to(package).parts[0].removesuffix(".py") for path in package.rglob("*.py")
    }
    expected = {f"treeline.{part}" for part in parts - KNOWN_TO_THE_SERVICE - {"__init__"}}
    assert expected <= set(contract["forbidden_modules"])
