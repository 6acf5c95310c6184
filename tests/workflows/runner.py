"""The workflows of this repository, run unmodified, in a small repository of their own.

GitHub is the fake one of `tests.github`; git, DVC, make, Docker and whatever a step runs are real.
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checkout import PARAMS, ROOT, Checkout, create
from tests.github.events import DEPENDABOT, Event
from tests.github.hub import GitHub
from tests.github.run import Run
from tests.github.settings import Settings
from tests.github.store import Store
from tests.workflows import environments

CARRIED = (
    ".ci", ".dockerignore", ".github", ".yamllint.yaml", "Dockerfile", "Makefile",
    "api", "docs", "initializer.sh", "pyproject.toml",
)  # fmt: skip
ONE_MODEL = "default: sugar\nmodels:\n" + PARAMS[PARAMS.index("  sugar:") :]

# What a repository's own checks and tests find is not the matter of most scenarios, and the job
# of a wheel that is not tested needs no models.
WITHOUT_TESTS = """\
ifeq ($(GITHUB_JOB),wheel)
pull:
\t@echo "left out here: make $@"
endif
check coverage test test-documents test-models test-wheel:
\t@echo "left out here: make $@"
%:
\t@$(MAKE) --no-print-directory --file Makefile $@
"""


@dataclass
class Forge:
    """A repository on the fake GitHub, a clone to work in, and the remote storage of its data."""

    clone: Checkout
    folder: Path
    settings: Settings = field(default_factory=Settings)
    store: Store = field(default_factory=Store)

    @property
    def state(self) -> Path:
        return self.folder / "forge"

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def github(self) -> GitHub:
        """The forge as it is now set; what happened on it before is kept."""
        return GitHub(self.state, self.settings, self.store)

    @property
    def secrets(self) -> dict[str, str]:
        return self.settings.secrets

    @secrets.setter
    def secrets(self, values: dict[str, str]) -> None:
        self.settings.secrets = values

    @property
    def variables(self) -> dict[str, str]:
        return self.settings.variables

    @variables.setter
    def variables(self, values: dict[str, str]) -> None:
        self.settings.variables = values

    # --- what people and GitHub do ------------------------------------------------------------

    def push(self, message: str, *, branch: str = "main") -> str:
        """Commit what changed in the clone and push it, as a person does; return the commit."""
        commit = self.clone.commit(message)
        self.clone.run("git", "push", "--quiet", "origin", f"HEAD:{branch}")
        return commit

    def pushed(self, workflow: str, *, chain: bool = False, branch: str = "main") -> list[Run]:
        """Let a push to a branch start a workflow, and with `chain` what follows from it."""
        return self.deliver(workflow, self.github.pushed(branch), chain=chain)

    def press(
        self, workflow: str, inputs: Mapping[str, str] = {}, *, chain: bool = False, ref: str = ""
    ) -> list[Run]:
        """Press the button of a workflow."""
        return self.deliver(workflow, self.github.dispatched(ref, **inputs), chain=chain)

    def wait_for_the_night(
        self, workflow: str = "retrain.yml", *, chain: bool = False
    ) -> list[Run]:
        """Let the schedule start a workflow."""
        return self.deliver(workflow, self.github.scheduled(), chain=chain)

    def request(
        self, workflow: str, branch: str, *, fork: bool = False, dependabot: bool = False
    ) -> Run:
        """Let a pull request from a branch start a workflow."""
        actor = DEPENDABOT if dependabot else "octocat"
        event = self.github.pull_request(branch, fork=fork, actor=actor)
        return self.deliver(workflow, event)[0]

    def deliver(self, workflow: str, event: Event, *, chain: bool = False) -> list[Run]:
        """Let an event start a workflow, which it must."""
        github = self.github
        assert not (reason := github.why_not(workflow, event)), f"{workflow}: {reason}"
        return github.deliver(event, only=workflow, chain=chain)

    def meanwhile(self, *commands: str) -> None:
        """Let something happen in each run between training and publishing."""
        script = self.folder / "meanwhile.sh"
        script.write_text("\n".join(["set -e", *commands]) + "\n")
        before = f"publish:\n\t@sh {script}\n\t@$(MAKE) --file Makefile publish\n"
        (self.clone.root / "GNUmakefile").write_text(before + WITHOUT_TESTS)

    # --- what is there ------------------------------------------------------------------------

    def copied(self, target: Path) -> "Forge":
        """Return a copy of it, to be changed at will; the machines of jobs that ended are gone."""
        shutil.copytree(self.folder, target, symlinks=True, ignore=machines)
        copy = Forge(Checkout(target / "clone"), target, store=self.store.copied())
        copy.clone.run("git", "remote", "set-url", "origin", str(copy.state / "origin.git"))
        local = copy.clone.root / ".dvc" / "config.local"
        local.write_text(local.read_text().replace(str(self.storage), str(copy.storage)))
        copy.settings.secrets = {"DVC_REMOTE_URL": str(copy.storage)}
        copy.settings.python = str(python_of_the_runner(target))
        copy.settings.prepare = environments.prepare
        return copy

    def git(self, *words: str, good: bool | None = True) -> str:
        """Ask the forge's repository."""
        return self.clone.run(
            "git", "-C", str(self.state / "origin.git"), *words, good=good
        ).stdout.strip()

    @property
    def main(self) -> str:
        return self.git("rev-parse", "main")

    @property
    def released(self) -> str:
        return self.git("rev-parse", "--verify", "--quiet", "released", good=None)

    def comments(self) -> list[dict[str, Any]]:
        """Return the comments on commits."""
        return self.store.comments


def machines(folder: str, names: list[str]) -> set[str]:
    """Return what a job leaves on its machine, of the names in a folder: a run holds its jobs."""
    of_a_job = Path(folder).parent.parent.name == "runs"
    return {"work", "home", "temp"}.intersection(names) if of_a_job else set()


def trained(folder: Path, params: str = ONE_MODEL) -> Forge:
    """Make a forge whose main holds one trained model, stored and released by hand."""
    folder.mkdir()
    forge = Forge(small_repository(folder / "clone", params), folder)
    clone, origin = forge.clone, forge.state / "origin.git"
    clone.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", str(origin))
    clone.run("git", "remote", "add", "origin", str(origin))
    clone.run("dvc", "remote", "add", "--local", "--default", "shared", str(forge.storage))
    clone.run("dvc", "repro")
    clone.python("-m", "treeline", "publish")
    return forge


def small_repository(root: Path, params: str = ONE_MODEL) -> Checkout:
    """Make a repository with everything a workflow touches and one small model, not trained yet."""
    made = create(root, params=params)
    for name in CARRIED:
        source, target = ROOT / name, root / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    (root / "GNUmakefile").write_text(WITHOUT_TESTS)
    made.commit("Add what CI needs")
    return made


def python_of_the_runner(folder: Path) -> Path:
    """Return what setup-python provides: a Python whose new environments hold our packages.

    `make setup` then runs as it is, and finds every locked distribution installed, as it would be
    after a minute. The environment's own scripts are copied, so that they run its own Python.
    """
    root = folder / "python"
    if not root.exists():
        (root / "bin").mkdir(parents=True)
        maker = environments.__file__
        for name in ("python", "python3", "python3.11"):
            script = root / "bin" / name
            script.write_text(
                f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && exec {sys.executable} {maker} "$@"\n'
                f'exec {sys.executable} "$@"\n'
            )
            script.chmod(0o755)
    return root
