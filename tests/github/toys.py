"""A repository of a few lines, to try the fake GitHub with."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.github.hub import GitHub
from tests.github.settings import Settings

IDENTITY = ("-c", "user.name=A person", "-c", "user.email=person@example.invalid")


@dataclass(frozen=True)
class Toy:
    """A bare origin on the fake GitHub, and a clone of it to work in."""

    root: Path
    settings: Settings

    @property
    def clone(self) -> Path:
        return self.root / "clone"

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *IDENTITY, *words], cwd=self.clone, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str, *, branch: str = "main", **files: str) -> str:
        """Commit workflows, by their names without .yml, and push a branch; return the commit."""
        folder = self.clone / ".github" / "workflows"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.yml").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")


def toy(root: Path, settings: Settings | None = None) -> tuple[Toy, GitHub]:
    """Make an empty origin, a clone of it, and the GitHub that serves it."""
    made = Toy(root, settings or Settings())
    made.clone.mkdir(parents=True)
    made.git("init", "--quiet", "--initial-branch", "main")
    origin = root / "hub" / "origin.git"
    made.git("init", "--quiet", "--bare", "--initial-branch", "main", str(origin))
    made.git("remote", "add", "origin", str(origin))
    return made, GitHub(root / "hub", made.settings)
