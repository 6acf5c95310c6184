"""`deploy/lab/start.sh`: the lab starts whoever owned the checkout before."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.checkout import ROOT

START = ROOT / "deploy" / "lab" / "start.sh"
OWNER = 12345

# In the place of JupyterLab, which is in the image only: it writes where JupyterLab would.
JUPYTER = """\
#!/bin/sh
set -e
mkdir -p "$HOME/.local/share/jupyter" "$DVC_SITE_CACHE_DIR"
echo "$HOME"
"""


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that everybody may enter; those of pytest are closed to others."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as somebody else")
def test_the_lab_starts_for_a_new_owner_of_the_checkout(open_path: Path) -> None:
    names = ("tools", "home", "checkout", "repository")
    tools, home, checkout, repository = (open_path / name for name in names)
    for folder in (tools, home, checkout, repository):
        folder.mkdir()
    (tools / "jupyter").write_text(JUPYTER, encoding="utf-8")
    (tools / "jupyter").chmod(0o755)
    start = tools / "start.sh"
    script = START.read_text(encoding="utf-8")
    script = script.replace("/repository", str(repository)).replace("/checkout", str(checkout))
    start.write_text(script, encoding="utf-8")
    start.chmod(0o755)
    home.chmod(0o1777)  # as the image makes it
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(home), "JUPYTER_TOKEN": "t"}
    for owner in (0, OWNER, 0):
        done = subprocess.run(
            [start], env=environment, user=owner, group=owner, extra_groups=(),
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0
        told = "The lab's copy belongs to user 0 and cannot be written: set LAB_UID=0"
        assert done.stderr.startswith(told) == (owner == OWNER)
        assert done.stdout == f"{home / str(owner)}\n"
