"""A scratch repository with one model, trained without DVC in well under a second."""

import re
import subprocess
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from tests.stages import follow_code
from treeline.config import Layout, declared_model
from treeline.errors import GateError
from treeline.registry import resolve
from treeline.stages.digest import write_inputs
from treeline.stages.running import STAGES
from treeline.trackers.record import Origin, Record, Written, recorded, written

ORIGIN = Origin(began=1_700_000_000_000, ended=1_700_000_060_000)


@dataclass(frozen=True)
class Training:
    """The repository, and the name of its model."""

    root: Path
    name: str

    @property
    def paths(self) -> Layout:
        return Layout(self.name)

    def train(self, *stages: str) -> bool:
        """Run some stages or all of them; tell whether the gate let the model pass."""
        with chdir(self.root):
            spec, paths = declared_model(self.name)
            if not stages:
                follow_code()
                write_inputs()
            try:
                for stage in stages or STAGES:
                    resolve(STAGES, stage, place="stage")(spec, paths)
            except GateError:
                return False
        return True

    def judge(self, limit: str) -> bool:
        """Declare another limit of the gate and judge the same champion by it: the quickest change.

        The area under the curve is 1: a floor lets it pass, and a ceiling does not.
        """
        path = self.root / "params.yaml"
        declared = re.sub(r"gate: \{\w+: \{.*?\}", f"gate: {{{limit}", path.read_text())
        path.write_text(declared)
        return self.train("gate", "export")

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def commit(self) -> str:
        """Commit what was trained; return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Train")
        return self.git("rev-parse", "HEAD")

    def written(self) -> Written:
        return written(*declared_model(self.name))

    def record(self) -> Record:
        return recorded(self.written(), ORIGIN)
