"""The files of a repository of models ↔ its folder and its git."""

from collections.abc import Mapping
from pathlib import Path

from treeline.delivery.processes import attempt, run
from treeline.files import write_bytes
from treeline.scaffold.contents import EXECUTABLE, THEIRS, Answers
from treeline.scaffold.record import Record, blob

NOBODY = ("-c", "user.name=Treeline", "-c", "user.email=treeline@example.invalid")


def recorded(version: str, answers: Answers, files: Mapping[str, bytes]) -> Record:
    """Return the record of files as they are written; what is its owner's alone is not in it."""
    followed = {path: blob(content) for path, content in files.items() if path not in THEIRS}
    return Record(version, answers, followed)


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder, each whole; scripts can be executed."""
    for path, content in files.items():
        write_bytes(root / path, content)
        (root / path).chmod(0o755 if path in EXECUTABLE else 0o644)


def commit(root: Path, message: str, *paths: str, ignored: bool = False) -> None:
    """Commit these files alone, in folders those that git does not ignore; raises DeliveryError.

    `ignored` takes files too that a person has told git to ignore everywhere. Where nobody has told
    git who they are, the commit is Treeline's.
    """
    run("git", "add", *(("--force",) if ignored else ()), "--", *paths, cwd=root)
    known = attempt("git", "config", "user.email", cwd=root).returncode == 0
    identity = () if known else NOBODY
    run("git", *identity, "commit", "--quiet", "--message", message, "--", *paths, cwd=root)


def top_of(folder: Path) -> Path | None:
    """Return the root of the repository of git that a folder lies in, None where it is in none."""
    while not folder.is_dir():
        folder = folder.parent
    done = attempt("git", "rev-parse", "--show-toplevel", cwd=folder)
    return Path(done.stdout.rstrip("\n")) if done.returncode == 0 else None
