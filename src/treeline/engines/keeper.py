"""A program that ends with whoever asked for it, and is started again when it dies by itself.

    python keeper.py FOLDER RESTARTS PROGRAM [ARGUMENT…]

Standard input is a pipe that the asker holds open, and with it every process forked from it. When
the last of them is gone, in whatever way, reading the pipe ends: then the program is killed and
FOLDER, which it works in, is removed. A program that dies more than RESTARTS times in a row, each
time within STEADY_SECONDS, is given up; FOLDER/ended then says how it ended.

Run as a file, not as a module: it needs nothing but the standard library, so it takes little.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from select import select

ADDRESS, ENDED, LOG = "address", "ended", "log"
LOOK_SECONDS = 0.1
STEADY_SECONDS = 60
LAST_WORDS = 2000  # characters of what the program has printed
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def main(arguments: list[str]) -> None:
    """Keep the program of the command line running."""
    folder, restarts, *program = arguments
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that what is below is done
    try:
        keep(Path(folder), program, restarts=int(restarts))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(folder: Path, program: list[str], *, restarts: int) -> None:
    """Run a program, again when it dies, until nobody holds standard input open any more."""
    quick_deaths = 0
    while quick_deaths <= restarts:
        (folder / ADDRESS).unlink(missing_ok=True)
        begun = time.monotonic()
        code = run(folder, program)
        if code is None:
            return
        quick_deaths = 1 if time.monotonic() - begun > STEADY_SECONDS else quick_deaths + 1
    words = (folder / LOG).read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:].strip()
    (folder / ENDED).write_text(f"it ended with code {code}: {words}", encoding="utf-8")
    while not parent_has_ended(LOOK_SECONDS):
        pass


def run(folder: Path, program: list[str]) -> int | None:
    """Run a program to its end, and return its exit code, or None where it was killed by us."""
    with (folder / LOG).open("wb") as log:
        started = subprocess.Popen(
            program,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_keeper,  # noqa: PLW1509  (there is one thread only)
        )
    try:
        while started.poll() is None:
            if parent_has_ended(LOOK_SECONDS):
                return None
        return started.returncode
    finally:
        started.kill()
        started.wait()


def parent_has_ended(seconds: float) -> bool:
    """Tell whether nobody holds the other end of standard input; wait at most so long for it."""
    readable, _, _ = select([0], [], [], seconds)
    return bool(readable) and os.read(0, 1) == b""


def end_with_keeper() -> None:
    """Let the system kill this process when the keeper is killed, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
