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


def settings_of(name: str) -> dict[str, str]:
    """Return what a unit sets, the last word of each name."""
    lines = (ROOT / "deploy" / "home" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_podman_may_publish_a_port_under_the_unit_of_the_agent() -> None:
    assert "ProtectKernelTunables" not in settings_of("treeline-agent.service")


def test_a_slot_without_containers_has_what_verifies_signatures() -> None:
    unit = (ROOT / "deploy" / "home" / "treeline-slot@.service").read_text(encoding="utf-8")
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        assert f"{name}=/tmp/" in unit and f"{name}=/tmp/" in image
    _, last = image.rsplit("\nFROM ", 1)
    assert "COPY --from=build /build/requirements.txt requirements.txt" in last
    assert "cat signing.txt >> requirements.txt" in image
