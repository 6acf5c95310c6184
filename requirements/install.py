"""`install.py NAME`: install requirements/NAME.txt and treeline where this Python is.

pip says nothing for minutes, or too much. The lock file says how many distributions there are, and
none needs another one to be installed: so a part of them is installed at a time, and counted.
`install.py --checkout` puts this checkout in the place of any other treeline, and nothing else.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
AT_A_TIME = 24  # pip takes seconds to start, and a part of so many about ten
PIP = (sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-warn-conflicts")
LOCKED = ("--no-compile", "--require-hashes")
EDITABLE = ("--no-index", "--no-build-isolation", "--editable", str(ROOT))


def entries(text: str) -> list[str]:
    """Return the distributions of a lock file: one text each, its hashes included."""
    return re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[1:]


def parts(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def install(name: str, *options: str) -> None:
    """Install every distribution of a lock file, showing how far it is."""
    items = entries((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    started, done = time.monotonic(), 0
    for part in parts(items, AT_A_TIME):
        show(f"{name}.txt: {done} of {len(items)} packages", started)
        with tempfile.TemporaryDirectory() as folder:
            lock = Path(folder) / f"{name}.txt"
            lock.write_text("".join(part), encoding="utf-8")
            pip(*LOCKED, *options, "--requirement", str(lock))
        done += len(part)
    show(f"{name}.txt: {done} of {len(items)} packages", started, last=True)


def install_checkout() -> None:
    """Let `import treeline` and `import api` find this checkout.

    The path is written relative to the environment where that is inside the checkout: Python reads
    it in the encoding of the locale, which may have no letter for a folder of the path.
    """
    pip(*EDITABLE)
    packages = Path(sysconfig.get_path("purelib"))
    if not packages.is_relative_to(ROOT):
        return
    for path in packages.glob("*treeline*.pth"):
        folders = path.read_text(encoding="utf-8").splitlines()
        relative = [os.path.relpath(each, packages) for each in folders]
        path.write_text("".join(f"{each}\n" for each in relative), encoding="utf-8")


def pip(*options: str) -> None:
    if code := subprocess.run([*PIP, *options], check=False).returncode:
        print("\npip could not install this, and says why above", file=sys.stderr)
        sys.exit(code)


def show(text: str, started: float, *, last: bool = False) -> None:
    """Say how far it is: on one line of a terminal, on lines of their own in a log."""
    line = f"  {text}, {time.monotonic() - started:.0f} s"
    on_one = sys.stdout.isatty()
    print(f"\r{line}" if on_one else line, end="" if on_one and not last else "\n", flush=True)


if __name__ == "__main__":
    if sys.argv[1] != "--checkout":
        # The backend comes first and by itself: it builds ours and the few that are source only.
        install("build")
        install(sys.argv[1], "--no-build-isolation")
    install_checkout()
