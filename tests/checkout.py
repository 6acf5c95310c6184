"""A scratch clone of this repository with small models, driven by the real git and the real DVC."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.warm import PYTHON, programs

ROOT = Path(__file__).resolve().parents[1]
CARRIED = ("dvc.yaml", ".dvcignore", ".gitignore", "src", "dataset/sources", "requirements")

PARAMS = """\
default: flowers
models:
  flowers:
    source: {kind: library, dataset: iris, labels: species}
    target: {name: species, task: multiclass}
    features:
      petal length (cm): {type: number, minimum: 0}
      petal width (cm): {type: number, minimum: 0}
    split: {test: 0.3, seed: 0}
    candidates:
      logistic: {estimator: sklearn.linear_model.LogisticRegression}
    search: {folds: 3}
    champion: {metric: log_loss}
    gate: {floor: {accuracy: 0.8}, beats: baseline}

  sugar:
    source: {kind: library, dataset: diabetes}
    target: {name: target, task: regression}
    features:
      bmi: {type: number}
      s5: {type: number}
    split: {test: 0.25, seed: 0}
    candidates:
      ridge: {estimator: sklearn.linear_model.Ridge, options: {alpha: 0.1}}
    search: {folds: 3}
    champion: {metric: rmse}
    gate: {floor: {r2: 0.05}, beats: baseline, may_drop_by: {rmse: 0.5}, undecided: pass}
"""


@dataclass(frozen=True)
class Checkout:
    """A clone of the scratch repository."""

    root: Path

    def run(self, *command: str, good: bool | None = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; `good` says whether it must succeed, None that it may.

        Its `dvc`, and that of what it starts, has been imported before (`tests.warm`).
        """
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(warm=True),
            capture_output=True,
            text=True,
            check=False,
        )
        if good is not None:
            assert (done.returncode == 0) == good, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def python(self, *arguments: str, good: bool | None = True) -> subprocess.CompletedProcess[str]:
        """Run Python in the clone: a module or code, where libraries have been imported before.

        Nothing of the clone has been. Raises AssertionError as `run` does.
        """
        return self.run(str(programs() / PYTHON), *arguments, good=good)

    def environment(self, *, warm: bool = False) -> dict[str, str]:
        """Return the environment of a user whose virtual environment is active.

        `warm` says whether its `dvc` may be one that has been imported before (`tests.warm`).
        """
        tools = [str(programs())] if warm else []
        tools.append(str(Path(sys.executable).parent))
        return {
            **os.environ,
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "PYTHONPATH": "src",
        }

    def change(self, old: str, new: str) -> None:
        """Edit params.yaml."""
        path = self.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def commit(self, message: str) -> str:
        """Commit everything git does not ignore; return the commit."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)
        return self.run("git", "rev-parse", "HEAD").stdout.strip()

    def bytes_of(self, pattern: str) -> dict[str, bytes]:
        """Return the content of every file that matches, by its path below the clone."""
        found = sorted(path for path in self.root.glob(pattern) if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def copy(self, target: Path) -> "Checkout":
        """Return a copy of the whole clone, cache and remote storage included."""
        shutil.copytree(self.root, target, symlinks=True)
        return Checkout(target)


def create(root: Path, *, params: str = PARAMS) -> Checkout:
    """Make a repository that holds this project's code and the given declaration."""
    for name in CARRIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # What is compiled goes along: it fits sources of the same size and time.
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.dvc"))
        else:
            shutil.copyfile(source, target)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore", "plots/chart.json"):
        target = root / ".dvc" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / ".dvc" / name, target)
    (root / "params.yaml").write_text(params)
    made = Checkout(root)
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    made.run("git", "config", "user.name", "A test")
    made.run("git", "config", "user.email", "test@example.invalid")
    made.commit("Declare two models")
    return made


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a clone that has been reproduced and committed, to be left as it is."""
    made = create(tmp_path_factory.mktemp("reproduced") / "clone")
    made.run("dvc", "repro")
    made.commit("Reproduce")
    return made


@pytest.fixture
def clone(reproduced: Checkout, tmp_path: Path) -> Checkout:
    """Return a copy of the reproduced clone, to be changed at will."""
    return reproduced.copy(tmp_path / "clone")


@pytest.fixture(scope="session")
def created(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a clone in which nothing has run, to be left as it is."""
    return create(tmp_path_factory.mktemp("created") / "clone")


@pytest.fixture
def fresh(created: Checkout, tmp_path: Path) -> Checkout:
    """Return a clone in which nothing has run."""
    return created.copy(tmp_path / "clone")
