"""`treeline upgrade`: a repository of an earlier version comes to this one, and no edit is lost."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.scaffold.conftest import Installed, git
from treeline import __version__
from treeline.scaffold import released
from treeline.scaffold.contents import THEIRS, Answers, contents, filled
from treeline.scaffold.merging import Change, Kind, changes
from treeline.scaffold.record import Record, blob, read_record
from treeline.scaffold.writing import recorded, write_files
from treeline.stages.anew import Anew

ANSWERS = Answers("birds", "penguins")
EARLIER = Path(__file__).parent / "earlier"  # what versions wrote that were never released
VERSIONS = {path.stem: path.parent for folder in (EARLIER, released.FOLDER)
            for path in folder.glob("*.json")}  # fmt: skip
MINE = "\nmine: ## A task of mine\n\t@echo mine\n"


def written_by(version: str) -> dict[str, bytes]:
    """Return the files that a version wrote; of its lock files there is no record."""
    texts = released.texts(version, VERSIONS[version])
    files = contents(ANSWERS)
    files |= {path: filled(text, ANSWERS).encode() for path, text in texts.items()}
    return files | {"requirements/treeline.txt": f"treeline=={version}\n".encode()}


def made_by(version: str, root: Path) -> Path:
    """Make the repository that a version made, with a first commit."""
    files = written_by(version)
    write_files(root, files)
    record = recorded(version, ANSWERS, files)
    (root / "treeline.toml").write_text(record.to_text(), encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A state")


@pytest.fixture(params=sorted(VERSIONS))
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the repository that an earlier version made."""
    return made_by(str(request.param), tmp_path / "birds")


def upgrade(installed: Installed, root: Path, *arguments: str, good: bool = True) -> str:
    command = ("upgrade", "--framework", "index", *arguments)
    done = installed.treeline(*command, cwd=root, good=good)
    return done.stdout if good else done.stdout + done.stderr


def test_what_nobody_edited_is_what_this_version_writes(
    installed: Installed, earlier: Path
) -> None:
    before = git(earlier, "status", "--porcelain")
    upgrade(installed, earlier, "--check")
    assert git(earlier, "status", "--porcelain") == before == ""
    upgrade(installed, earlier)
    for path, content in contents(ANSWERS).items():
        assert (earlier / path).read_bytes() == content, path
    assert read_record(earlier).version == __version__
    commit(earlier)
    assert f"as treeline {__version__} writes it" in upgrade(installed, earlier)


def test_an_edit_of_every_file_is_still_there(installed: Installed, earlier: Path) -> None:
    edited = [path for path in read_record(earlier).files if path.endswith((".yml", "file", ".sh"))]
    assert {"Makefile", "Dockerfile", "initializer.sh"} <= set(edited)
    for path in edited:
        with (earlier / path).open("a", encoding="utf-8") as file:
            file.write(MINE if path == "Makefile" else "# mine\n")
    (earlier / "params.yaml").write_text("# all mine\n", encoding="utf-8")
    (earlier / "notebooks/rows.ipynb").unlink()
    (earlier / ".github/workflows/monitor.yml").unlink()
    commit(earlier)
    said = upgrade(installed, earlier, good=True)
    for path in set(edited) - {".github/workflows/monitor.yml"}:
        assert "mine\n" in (earlier / path).read_text(encoding="utf-8"), path
    assert (earlier / "params.yaml").read_text(encoding="utf-8") == "# all mine\n"
    assert not (earlier / ".github/workflows/monitor.yml").exists()
    assert not (earlier / "notebooks/rows.ipynb").exists()
    assert "this version cannot read the declaration" in said or "as treeline" in said


def test_edits_of_the_same_lines_are_marked_and_named(installed: Installed, tmp_path: Path) -> None:
    root = made_by("0.1.0", tmp_path / "birds")
    makefile = root / "Makefile"
    text = makefile.read_text(encoding="utf-8")
    old = 'pip install -qq --no-deps --no-warn-conflicts "$$FRAMEWORK"'
    assert old in text
    makefile.write_text(text.replace(old, "pip install mine"), encoding="utf-8")
    commit(root)
    assert "Makefile: CONFLICT" in upgrade(installed, root, "--check", good=False)
    assert git(root, "status", "--porcelain") == ""
    assert "Makefile: CONFLICT" in upgrade(installed, root, good=False)
    text = makefile.read_text(encoding="utf-8")
    assert "<<<<<<< yours" in text and "pip install mine" in text
    assert f">>>>>>> treeline {__version__}" in text and "--force-reinstall" in text


def test_nothing_is_written_beside_uncommitted_work(installed: Installed, tmp_path: Path) -> None:
    root = made_by("0.1.0", tmp_path / "birds")
    (root / "notes.txt").write_text("mine\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert "notes.txt: not committed; commit, or git stash" in upgrade(installed, root, good=False)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {path for path in after if ".git" not in path.parts} == {
        path for path in before if ".git" not in path.parts
    }
    assert (root / "treeline.toml").read_bytes() == before[root / "treeline.toml"]


def test_it_says_which_models_are_trained_anew_and_why(
    installed: Installed, birds: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(birds, tmp_path / "birds", symlinks=True))
    assert "Everything is as treeline" in installed.treeline("upgrade", cwd=root).stdout
    _replace(root / "treeline.toml", f'version = "{__version__}"', 'version = "0.1.9"')
    commit(root)
    assert "penguins: stays as it is" in installed.treeline("upgrade", "--check", cwd=root).stdout
    inputs = root / "model/inputs/penguins/train.json"
    _replace(inputs, r'"treeline.trainers.sklearn": "\w+"', '"treeline.trainers.sklearn": "0"')
    commit(root)
    said = installed.treeline("upgrade", "--check", cwd=root).stdout
    assert "penguins: trained anew; `train` runs again for treeline.trainers.sklearn" in said
    _replace(root / "requirements/train.txt", r"^numpy==\S+", "numpy==1.0")
    commit(root)
    said = installed.treeline("upgrade", "--check", cwd=root, good=None).stdout
    assert "numpy 1.0 → " in said


def test_a_lock_file_can_be_added(installed: Installed, tmp_path: Path) -> None:
    root = made_by("0.1.0", tmp_path / "birds")
    assert "requirements/lab.txt: is new" in upgrade(installed, root, "--with", "lab")
    assert read_record(root).answers.locks == ("lab",)
    commit(root)
    upgrade(installed, root)
    assert (root / "requirements/lab.txt").is_file()


@pytest.mark.parametrize(
    ("version", "complaint"),
    [("99.0", "which is older; install the other: make setup"), ("", "cannot be read")],
)
def test_what_is_no_earlier_version_is_refused(
    installed: Installed, tmp_path: Path, version: str, complaint: str
) -> None:
    text = Record(version, ANSWERS).to_text() if version else "[files]"
    (tmp_path / "treeline.toml").write_text(text, encoding="utf-8")
    assert complaint in upgrade(installed, tmp_path, good=False)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ((), "stays as it is"),
        (("collect",), "trained anew if its rows are others; `collect` runs again for why"),
        (("prepare", "train"), "trained anew; `prepare` runs again for why"),
        (("gate", "export"), "not trained anew; `gate` runs again for why"),
    ],
)
def test_only_a_changed_training_is_a_training_for_certain(
    stages: tuple[str, ...], said: str
) -> None:
    assert str(Anew("birds", stages, ("why",))) == f"birds: {said}"


BASE, OURS, NEWER = b"one\ntwo\nthree\nfour\n", b"one\ntwo\nthree\n4\n", b"1\ntwo\nthree\nfour\n"


@pytest.mark.parametrize(
    ("before", "mine", "theirs", "expected"),
    [
        (BASE, BASE, BASE, None),
        (BASE, BASE, NEWER, ("updated", NEWER)),
        (BASE, OURS, BASE, None),
        (BASE, NEWER, NEWER, None),
        (BASE, OURS, NEWER, ("merged", b"1\ntwo\nthree\n4\n")),
        (BASE, None, NEWER, None),
        (BASE, BASE, None, ("removed", None)),
        (BASE, OURS, None, ("left", None)),
        (BASE, None, None, None),
        (None, None, NEWER, ("new", NEWER)),
        (None, OURS, NEWER, ("beside", NEWER)),
        (b"to be had nowhere", OURS, NEWER, ("beside", NEWER)),
    ],
)
def test_what_becomes_of_a_file(
    before: bytes | None, mine: bytes | None, theirs: bytes | None,
    expected: tuple[Kind, bytes | None] | None, tmp_path: Path,
) -> None:  # fmt: skip
    record = Record("1", ANSWERS, {} if before is None else {"file": blob(before)})
    if mine is not None:
        (tmp_path / "file").write_bytes(mine)

    def former(digest: str, path: str) -> bytes | None:
        return BASE if digest == blob(BASE) else None

    files: Mapping[str, bytes] = {} if theirs is None else {"file": theirs}
    found = changes(record, files, root=tmp_path, former=former, version="2")
    assert found == ([] if expected is None else [Change("file", *expected)])


def test_a_file_that_is_its_owners_alone_is_never_looked_at(tmp_path: Path) -> None:
    files = dict.fromkeys(THEIRS, b"ours")
    found = changes(Record("1", ANSWERS), files, root=tmp_path, former=lambda *_: None, version="2")
    assert found == []


def test_every_released_version_is_on_record() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = set(re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE))
    assert dated == set(released.versions()), "python -m treeline.scaffold.released"


def test_what_is_on_record_is_what_that_version_wrote(installed: Installed, tmp_path: Path) -> None:
    """A file that was edited before its first commit is merged all the same."""
    path, text = next(iter(released.texts(released.versions()[0]).items()))
    content = filled(text, ANSWERS).encode()
    assert released.as_released(blob(content), path, ANSWERS) == content
    assert released.as_released("0" * 40, path, ANSWERS) is None
    assert json.loads(json.dumps(dict(released.to_be_released())))
    script = "from treeline.scaffold.released import versions; print(*versions())"
    done = installed.run(sys.executable, "-P", "-c", script, cwd=tmp_path)
    assert done.stdout.split() == released.versions()


def _replace(path: Path, old: str, new: str) -> None:
    """Replace text by a pattern in one place of a file."""
    text, count = re.subn(old, new, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1, f"{old} stands {count} times in {path}"
    path.write_text(text, encoding="utf-8")
