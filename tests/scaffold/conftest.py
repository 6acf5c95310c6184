"""A wheel, built once, and a repository of models that it made and trained."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.warm import PYTHON, programs

TOOLS = Path(sys.executable).parent
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "A test"}


@dataclass(frozen=True)
class Installed:
    """This framework as its wheel installs it, in a folder of its own; not this checkout."""

    wheel: Path
    packages: Path

    def run(
        self,
        *command: str,
        cwd: Path,
        good: bool | None = True,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that imports the installed package; `good` says how it must end."""
        variables = {
            **os.environ,
            **QUIET,
            "PATH": os.pathsep.join([str(programs()), str(TOOLS), os.environ["PATH"]]),
            "PYTHONPATH": str(self.packages),
            **(environment or {}),
        }
        done = subprocess.run(
            command, cwd=cwd, env=variables,
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        if good is not None:
            assert (done.returncode == 0) == good, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def treeline(
        self, *arguments: str, cwd: Path, good: bool | None = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the command of the installed package, where libraries have been imported before."""
        return self.run(
            str(programs() / PYTHON), "-P", "-m", "treeline", *arguments, cwd=cwd, good=good
        )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return the wheel of this checkout, installed."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip")
    subprocess.run(
        [*pip, "wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", str(folder), str(ROOT)], check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    packages = folder / "packages"
    subprocess.run(
        [*pip, "install", "-qq", "--no-deps", "--no-index", "--target", str(packages), str(wheel)],
        check=True,
    )
    return Installed(wheel, packages)


@pytest.fixture(scope="session")
def birds(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of models as it is made and trained; to be left as it is."""
    folder = tmp_path_factory.mktemp("models")
    installed.treeline("new", "birds", cwd=folder)
    installed.treeline("repro", cwd=folder / "birds")
    git(folder / "birds", "add", "--all")
    git(folder / "birds", "commit", "--quiet", "--message", "Train")
    return folder / "birds"


def git(folder: Path, *arguments: str) -> str:
    """Run git as a user who is known to it, and return what it prints."""
    identity = ("-c", "user.name=A test", "-c", "user.email=test@example.invalid")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env={**os.environ, **QUIET},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"git {arguments}\n{done.stderr}"
    return done.stdout


def lend_environment(folder: Path) -> None:
    """Let a repository take the environment of the tests for its own, as `make setup` leaves it."""
    (folder / ".venv").mkdir()
    shutil.copy(TOOLS.parent / "pyvenv.cfg", folder / ".venv")
    for name in ("bin", "lib"):
        (folder / ".venv" / name).symlink_to(TOOLS.parent / name)
    (folder / ".venv/.home").write_text(f"{folder}\n", encoding="utf-8")
    (folder / ".venv/.setup").touch()
