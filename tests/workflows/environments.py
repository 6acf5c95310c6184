"""`environments.py -m venv --clear FOLDER`: a new environment over the packages of this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.warm import PYTHON, programs

STAMPS = (
    ".train",
    ".dev",
    ".tracking",
    ".signing",
    ".full",
    ".lab",
)  # what `make setup-…` has installed
TREELINE = """\
import sys
from treeline.cli.main import main
sys.argv[0] = "treeline"
sys.exit(main())"""


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


def warm_up(folder: Path, checkout: Path) -> None:
    """Let the commands be forks of a process that has imported what they import."""
    paths = f"export PYTHONPATH={checkout}:{checkout / 'src'}"
    calls = {"dvc": f"{programs()}/dvc", "treeline": f"{programs()}/{PYTHON} -P -c '{TREELINE}'"}
    for name, call in calls.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\n{paths}\nexec {call} "$@"\n')


def prepare(checkout: Path) -> None:
    """Make the environment of a checkout as `make setup` leaves it behind."""
    folder = checkout / ".venv"
    make(folder)
    warm_up(folder, checkout)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "_treeline.pth").write_text("../../../..\n../../../../src\n")
    (folder / ".home").write_text(f"{checkout}\n")
    for stamp in STAMPS:
        (folder / stamp).touch()


if __name__ == "__main__":
    make(Path(os.path.abspath(sys.argv[-1])))
