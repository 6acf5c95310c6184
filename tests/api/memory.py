"""How much memory a service takes: its processes, all those that they have started, together."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK_SECONDS = 0.02


def tree(root: int) -> set[int]:
    """Return a process and all that come of it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            stat = (folder / "stat").read_text().rpartition(") ")[2].split()
            parents[int(folder.name)] = int(stat[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def taken_bytes(root: int) -> int:
    """Return what the processes of a tree hold in memory, that of several counted for each."""
    pages = 0
    for pid in tree(root):
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def most_taken(root: int) -> Iterator[list[int]]:
    """Look all the while at what a tree of processes takes; the list has the most of it."""
    most, ended = [taken_bytes(root)], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            most[0] = max(most[0], taken_bytes(root))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()
