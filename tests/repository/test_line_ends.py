"""Every checkout has the same bytes, whatever git is told of line ends."""

import shutil
import subprocess
from pathlib import Path

from tests.serving import ROOT

SAMPLES = ("initializer.sh", "deploy/up.sh", "dvc.yaml", "src/treeline/errors.py")


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def test_a_checkout_as_on_windows_has_the_same_bytes(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name in (".gitattributes", *SAMPLES):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, here / name)
    git(here, "init", "--quiet")
    git(here, "add", "--all")
    git(here, "commit", "--quiet", "--message", "t")
    git(tmp_path, "clone", "--quiet", "--config", "core.autocrlf=true", str(here), str(there))
    for name in SAMPLES:
        assert (there / name).read_bytes() == (ROOT / name).read_bytes()
