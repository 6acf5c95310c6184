"""What the service writes is for its own user alone: every file 0600, every folder 0700."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077


def keep_private() -> None:
    """Let whatever this process and its children create be closed to others.

    Called where a process begins: so it holds for every file, whichever library makes it.
    """
    os.umask(OTHERS)


def close_to_others(folder: Path) -> None:
    """Take the rights of others from a folder and all in it, as a former release left them.

    What belongs to somebody else stays as it is: whoever mounted it has said who may read it.
    """
    for path in _within(folder):
        with suppress(OSError):
            mode = path.stat(follow_symlinks=False).st_mode
            if mode & OTHERS and not path.is_symlink():
                path.chmod(mode & 0o7777 & ~OTHERS)


def _within(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield folder
        for parent, folders, files in os.walk(folder):
            yield from (Path(parent, name) for name in (*folders, *files))
