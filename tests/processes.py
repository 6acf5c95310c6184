"""Which processes of ours run, by their parents."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def children(parent: int) -> set[int]:
    """Return the processes that a process has started and that have not ended."""
    return {number for number, _ in _children(parent)}


def beside(worker: int) -> set[int]:
    """Return the processes beside a worker that read and run what strangers send."""
    return {number for number, command in _children(worker) if b"api.sandbox.child" in command}


def _children(parent: int) -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            state, number = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
            if int(number) == parent and state not in "ZX":
                yield int(folder.name), (folder / "cmdline").read_bytes()
