"""The units of systemd that are shipped are sound: systemd itself says so."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repository.test_workshop import ROOT

UNITS = sorted(
    path
    for folder in ("home", "systemd")
    for path in (ROOT / "deploy" / folder).iterdir()
    if path.suffix in {".service", ".timer"}
)
ELSEWHERE = ("/opt/treeline/bin/treeline", "/usr/sbin/haproxy", "/srv/treeline/deploy/up.sh")


def verified(folder: Path, text: str, name: str) -> str:
    """Return what systemd complains about in a unit, with what it starts standing in `folder`."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    for path in (*ELSEWHERE, "/usr/bin/docker"):
        text = text.replace(path, "/bin/true")
    needed = "[Service]\nExecStart=/bin/true\n"
    (folder / "docker.service").write_text(needed)
    for unit in UNITS:
        (folder / unit.name).write_text(
            needed if unit.suffix == ".service" else "[Timer]\nOnBootSec=1\n"
        )
    unit = folder / name.replace("@.", "@api.")
    unit.write_text(text)
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "\n".join(line for line in done.stderr.splitlines() if unit.name in line)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_sound(path: Path, tmp_path: Path) -> None:
    assert verified(tmp_path, path.read_text(encoding="utf-8"), path.name) == ""


@pytest.mark.parametrize("old", ["Type=oneshot", "ExecStart="])
def test_a_mistake_in_a_unit_is_seen(old: str, tmp_path: Path) -> None:
    path = ROOT / "deploy" / "home" / "treeline-agent.service"
    text = path.read_text(encoding="utf-8").replace(old, old.replace("=", "x="), 1)
    assert verified(tmp_path, text, path.name)
