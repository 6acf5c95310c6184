"""`environments.py -m venv --clear FOLDER`: a new environment over the packages of this one."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def make(folder: Path) -> None:
    """Make an environment that sees our packages, and bring our scripts along."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    ours = Path(sys.executable).parent
    for script in ours.iterdir():
        target = folder / "bin" / script.name
        if script.name.startswith(("python", "activate", "Activate")) or not script.is_file():
            continue
        content = script.read_bytes()
        target.write_bytes(
            content.replace(f"#!{ours}/".encode(), f"#!{folder.resolve()}/bin/".encode(), 1)
        )
        shutil.copymode(script, target)


if __name__ == "__main__":
    make(Path(sys.argv[-1]))
