"""What is thrown away and what is kept: whatever a release needs stays, here and in the remote."""

from pathlib import Path

import pytest

from tests.delivery.forge import Forge
from treeline.delivery import garbage
from treeline.delivery.publishing import publish
from treeline.errors import StorageError


def cached(forge: Forge) -> set[str]:
    """Return the artifacts in DVC's cache."""
    files = (path for path in (forge.clone.root / ".dvc/cache/files").rglob("*") if path.is_file())
    return {text for path in files if not (text := path.read_text()).startswith("[")}


def test_an_older_release_stays_and_what_nothing_needs_goes(trained: Forge) -> None:
    publish(reason="")
    for value in (7, 3):
        trained.declare("sugar", value)
        trained.train()
        if value == 7:
            trained.clone.run("dvc", "push", "--quiet")
    publish(reason="")
    assert {"sugar 2", "sugar 3", "sugar 7"} <= cached(trained)
    dry = garbage.collect(remote=True, dry=True)
    assert "sugar 7" in cached(trained) and dry
    garbage.collect(remote=True, dry=False)
    assert {"sugar 2", "sugar 3"} <= cached(trained) and "sugar 7" not in cached(trained)
    assert "sugar 2" in trained.stored() and "sugar 7" not in trained.stored()
    assert garbage.PREFIX not in trained.clone.run("git", "tag").stdout


def test_a_clone_that_lacks_a_released_commit_throws_nothing_away(
    forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(reason="")
    forge.somebody_pushes("README.md", "A forest, described\n")
    shallow = tmp_path / "shallow"
    clone = ("git", "clone", "--quiet", "--depth", "1", "--branch", "main")
    forge.clone.run(*clone, f"file://{forge.origin}", str(shallow))
    monkeypatch.chdir(shallow)
    with pytest.raises(StorageError, match="git fetch --unshallow"):
        garbage.collect(remote=False, dry=False)
