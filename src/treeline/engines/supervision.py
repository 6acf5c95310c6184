"""A program in a folder of its own that ends with this process, its forks, and nothing earlier."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from treeline.engines import keeper
from treeline.errors import EngineError

WAIT_SECONDS = 0.05
STOP_SECONDS = 10


class SupervisedProgram:
    """A program that `treeline.engines.keeper` keeps running.

    It is to write where it answers to the file `address` in its folder, once it does. Only the
    owner of that folder can read it.
    """

    def __init__(self, name: str, *, folder: Path | None = None) -> None:
        """Make the folder, or take that of a program which another process has started.

        `name` is that of the engine, for messages.
        """
        self.name = name
        self.folder = folder or Path(tempfile.mkdtemp(prefix="treeline-"))
        self._keeper: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def start(self, program: list[str], *, restarts: int) -> None:
        """Start the program, and start it again when it dies, so many times in a row."""
        options = [str(self.folder), str(restarts), *program]
        self._keeper = subprocess.Popen(
            [sys.executable, "-IS", str(keeper.__file__), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: what is under way may still need it
        )

    def address(self, *, seconds: float) -> str:
        """Return where the program answers, waiting for its start; raises EngineError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.raise_if_ended()
            if address := _read(self.folder / keeper.ADDRESS):
                return address
            time.sleep(WAIT_SECONDS)
        words = _read(self.folder / keeper.LOG)[-keeper.LAST_WORDS :]
        raise EngineError(f"{self.name} did not answer within {seconds:g} seconds: {words}")

    def raise_if_ended(self) -> None:
        """Raise EngineError, with its last words, when the program is not started any more."""
        if ended := _read(self.folder / keeper.ENDED):
            raise EngineError(f"{self.name} does not run: {ended}")
        if not self.folder.is_dir():
            raise EngineError(f"{self.name} does not run: it was stopped")

    def stop(self) -> None:
        """End the program, unless it is another process that has started it."""
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None  # it was asked for
        self._keeper.stdin.close()
        if self._owner == os.getpid():
            self._keeper.wait(STOP_SECONDS)
            shutil.rmtree(self.folder, ignore_errors=True)  # where the keeper was killed


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
