"""The workflows of this repository, run unmodified, in a small repository of their own.

A fake GitHub, Koyeb beside it, and the evaluation of expressions come from the runner that lies
beside this project; git, DVC, make, Docker and everything a step runs are the real ones.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checkout import PARAMS, ROOT, Checkout, create

RUNNER = ROOT.parent / "shared" / "tools" / "workflows" / "run_workflow.py"
OWNER = "acme/toy"
CARRIED = (
    ".ci", ".dockerignore", ".github", ".yamllint.yaml", "Dockerfile", "Makefile",
    "api", "docs", "initializer.sh", "pyproject.toml",
)  # fmt: skip
ONE_MODEL = "default: sugar\nmodels:\n" + PARAMS[PARAMS.index("  sugar:") :]

# What a repository's own checks and tests find is not the matter of most scenarios.
WITHOUT_TESTS = """\
check test test-wheel:
\t@echo "left out here: make $@"
%:
\t@$(MAKE) --no-print-directory --file Makefile $@
"""


def why_not() -> str:
    """Say what this machine lacks to run workflows; nothing when it lacks nothing."""
    if not RUNNER.is_file():
        return "the runner of workflows is not beside the repository"
    missing = [tool for tool in ("node", "npm", "openssl", "make") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Run:
    """What became of one run of one workflow."""

    result: dict[str, Any]
    folder: Path

    @property
    def conclusion(self) -> str:
        conclusion: str = self.result["conclusion"]
        return conclusion

    @property
    def name(self) -> str:
        name: str = self.result["workflow"]
        return name

    @property
    def log(self) -> str:
        """What it said, and before it what the workflows said that it called."""
        called = self.folder.parent.glob(f"{self.folder.name}-*")
        folders = [*sorted(called, key=lambda folder: folder.stat().st_ctime), self.folder]
        return "\n".join((folder / "log.txt").read_text() for folder in folders)

    @property
    def summary(self) -> str:
        path = self.folder / "summary.md"
        return path.read_text() if path.exists() else ""

    def step(self, name: str) -> str:
        """Return how a step ended: success, failure or skipped."""
        found = [outcome for _, step, outcome, _ in self.result["steps"] if step == name]
        assert found, f"no step {name!r} in {[step[1] for step in self.result['steps']]}"
        return str(found[-1])


@dataclass
class Forge:
    """A repository on the fake GitHub, a clone to work in, and the remote storage of its data."""

    clone: Checkout
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "forge"

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    def run(
        self, workflow: str, *options: str, event: str = "push", chain: bool = False
    ) -> list[Run]:
        """Let an event start a workflow, and with `chain` what follows; return the runs."""
        before = self._numbers()
        given = {"--secret": self.secrets, "--var": self.variables, "--tool": self.tools}
        pairs = [(flag, f"{k}={v}") for flag, values in given.items() for k, v in values.items()]
        command = [
            sys.executable, str(RUNNER), workflow, "--state", str(self.state), "--repo", OWNER,
            "--event", event, "--venv", str(python_of_the_runner(self.folder)), "--fake=--deny",
            "--quiet", *(["--chain"] if chain else []),
            *(word for pair in pairs for word in pair), *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = [self._run(number) for number in sorted(self._numbers() - before)]
        assert runs, done.stdout + done.stderr
        return runs

    def push(self, message: str, *, branch: str = "main") -> str:
        """Commit what changed in the clone and push it, as a person does; return the commit."""
        commit = self.clone.commit(message)
        self.clone.run("git", "push", "--quiet", "origin", f"HEAD:{branch}")
        return commit

    def meanwhile(self, *commands: str) -> None:
        """Let something happen in each run between training and publishing."""
        script = self.folder / "meanwhile.sh"
        script.write_text("\n".join(["set -e", *commands]) + "\n")
        before = f"publish:\n\t@sh {script}\n\t@$(MAKE) --file Makefile publish\n"
        (self.clone.root / "GNUmakefile").write_text(before + WITHOUT_TESTS)

    def copied(self, target: Path) -> "Forge":
        """Return a copy of all of it, to be changed at will."""
        shutil.copytree(self.folder, target, symlinks=True)
        copy = Forge(Checkout(target / "clone"), target)
        copy.clone.run("git", "remote", "set-url", "origin", str(copy.state / "origin.git"))
        copy.clone.run("dvc", "remote", "modify", "--local", "shared", "url", str(copy.storage))
        copy.secrets = {"DVC_REMOTE_URL": str(copy.storage)}
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

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return what the forge was told: comments, issue_comments, deploys."""
        state = self.state / "github" / "state.json"
        found: list[dict[str, Any]] = json.loads(state.read_text())[kind] if state.exists() else []
        return found

    def comments(self) -> list[dict[str, Any]]:
        return self.told("comments")

    def _numbers(self) -> set[int]:
        folders = (self.state / "runs").glob("*")
        return {int(path.name) for path in folders if path.name.isdigit()}

    def _run(self, number: int) -> Run:
        folder = self.state / "runs" / str(number)
        return Run(json.loads((folder / "result.json").read_text()), folder)


def trained(folder: Path) -> Forge:
    """Make a forge whose main holds one trained model, stored and released by hand."""
    folder.mkdir()
    forge = Forge(small_repository(folder / "clone"), folder)
    clone, origin = forge.clone, forge.state / "origin.git"
    clone.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", str(origin))
    clone.run("git", "remote", "add", "origin", str(origin))
    clone.run("dvc", "remote", "add", "--local", "--default", "shared", str(forge.storage))
    clone.run("dvc", "repro")
    clone.python("-m", "treeline", "publish")
    return forge


def small_repository(root: Path) -> Checkout:
    """Make a repository with everything a workflow touches and one small model, not trained yet."""
    made = create(root, params=ONE_MODEL)
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
        maker = Path(__file__).with_name("environments.py")
        for name in ("python", "python3", "python3.11"):
            script = root / "bin" / name
            script.write_text(
                f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && exec {sys.executable} {maker} "$@"\n'
                f'exec {sys.executable} "$@"\n'
            )
            script.chmod(0o755)
    return root
