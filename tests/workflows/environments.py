"""`environments.py -m venv --clear FOLDER`: a new environment over the packages of this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

STAMPS = (
    ".train",
    ".dev",
    ".tracking",
    ".signing",
    ".full",
    ".lab",
)  # what `make setup-…` has installed


def make(folder: Path) -> None:
    """Make an environment that sees our packages, and bring our scripts along."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    ours = Path(sys.executable).parent
    for script in ours.iterdir():
        if not script.is_file() or script.name.lower().startswith(("python", "activate")):
            continue
        target = folder / "bin" / script.name
        with script.open("rb") as file:
            if file.read(2) != b"#!":
                target.symlink_to(script)  # a binary knows no environment
                continue
        text = script.read_bytes()
        target.write_bytes(
            text.replace(f"#!{ours}/".encode(), f"#!{folder.resolve()}/bin/".encode(), 1)
        )
        shutil.copymode(script, target)


def prepare(checkout: Path) -> None:
    """Make the environment of a checkout as `make setup` leaves it behind."""
    folder = checkout / ".venv"
    make(folder)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "_treeline.pth").write_text("../../../..\n../../../../src\n")
    (folder / ".home").write_text(f"{checkout}\n")
    for stamp in STAMPS:
        (folder / stamp).touch()


if __name__ == "__main__":
    make(Path(os.path.abspath(sys.argv[-1])))
