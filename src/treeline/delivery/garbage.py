"""`dvc gc` that keeps what releases need: its own options know branches and tags, and no list.

A released commit need not be the tip of anything. So each is given a tag in this clone while DVC
looks, and no tag leaves it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treeline.delivery import releasing, repository, storage
from treeline.delivery.lists import JsonList
from treeline.delivery.processes import run
from treeline.errors import StorageError

PREFIX = "treeline-keeps-"
CONFIG = Path(".dvc/config")  # what the lists and the documentation have not, being no code
DEPLOYED = JsonList("deployed")


def needed() -> list[str]:
    """Return the commits whose outputs are needed: of every release, and of the remote branches.

    Raises StorageError where the list of releases cannot be read completely.
    """
    for each in (releasing.RELEASES, DEPLOYED):
        each.refresh()
    entries = [releasing.Entry.of(each) for each in releasing.RELEASES.documents()]
    entries += [releasing.Entry.of(each) for each in DEPLOYED.documents()]
    commits = {each for entry in entries for each in (entry.commit, *entry.passed.values())}
    if lost := sorted(each for each in commits if repository.resolved(each) is None):
        raise StorageError(
            f"{', '.join(each[:12] for each in lost)}: released, and not in this clone, so that "
            "nobody can say what it needs; fetch all of it first: git fetch --unshallow"
        )
    tips = {tip for tip in repository.remote_tips() if repository.shown(tip, CONFIG) is not None}
    return sorted(commits | tips)


def collect(*, remote: bool, dry: bool) -> str:
    """Remove what no branch, tag, release or file here needs; return what DVC says.

    With `remote` the shared remote is cleaned too, `dry` only lists. Raises StorageError.
    """
    if remote and storage.shared() is None:
        raise StorageError(
            "there is no shared remote to clean: docs/remotes.md tells how to set one"
        )
    options = [*(["--cloud"] if remote else []), *(["--dry"] if dry else [])]
    keep = ("--workspace", "--all-branches", "--all-tags")
    with _tagged(needed()):
        return run("dvc", "gc", "--force", *keep, *options, error=StorageError).strip()


@contextmanager
def _tagged(commits: list[str]) -> Iterator[None]:
    names = [f"{PREFIX}{commit}" for commit in commits]
    try:
        for name, commit in zip(names, commits, strict=True):
            run("git", "tag", "--force", name, commit, error=StorageError)
        yield
    finally:
        if names:
            run("git", "tag", "--delete", *names, error=StorageError)
