"""`python -m treeline.jobs.handing wait|take BYTES`: how the inputs of a job come into its pod.

`wait` is the first process of a container that ends once the inputs are there; `take` runs beside
it and reads them, as a tar archive of so many bytes. A sender that is cut off leaves nothing that
counts: another one begins anew.

    /job/inputs/input        what was sent, whole or not at all
    /job/made/result         the file that the model goes to, empty
"""

import shutil
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import IO, BinaryIO

TAKEN, MADE = Path("/job/inputs"), Path("/job/made")
DONE = "taken"  # is printed when the inputs are there
LOOK_SECONDS, MOMENT_SECONDS = 0.2, 1.0
PIECE_BYTES = 64 << 10


def wait(taken: Path = TAKEN) -> None:
    """Return once the inputs are there, and a moment later.

    All others in its container end with this process: so who took them can say so before.
    """
    while not (taken / "input").is_dir():
        time.sleep(LOOK_SECONDS)
    time.sleep(MOMENT_SECONDS)


def take(stream: BinaryIO, size: int, *, taken: Path = TAKEN, made: Path = MADE) -> None:
    """Read the inputs, `size` bytes; raises EOFError where fewer come, OSError for a full disk."""
    folder = Path(tempfile.mkdtemp(dir=taken))
    try:
        with tempfile.TemporaryFile(dir=taken) as packed:
            copy(stream, packed, size)
            packed.seek(0)
            with tarfile.open(fileobj=packed, mode="r:*") as archive:
                archive.extractall(folder, filter="data")
        folder.chmod(0o755)
        (made / "result").touch()
        if not (taken / "input").exists():
            folder.rename(taken / "input")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy(stream: BinaryIO, target: IO[bytes], size: int) -> None:
    """Copy so many bytes of a stream that nobody closes; raises EOFError where fewer come."""
    left = size
    while left:
        piece = stream.read(min(left, PIECE_BYTES))
        if not piece:
            raise EOFError(f"{size - left} bytes of {size} came")
        target.write(piece)
        left -= len(piece)


if __name__ == "__main__":
    if sys.argv[1] == "wait":
        wait()
    else:
        take(sys.stdin.buffer, int(sys.argv[2]))
        print(DONE, flush=True)
