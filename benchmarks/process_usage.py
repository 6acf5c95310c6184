"""What processes take, a process and all below it: looked at while they run."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY_SECONDS = 0.2
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """What a command took: seconds, those of processors, and MB at the peak.

    `failed` is its last line, if it did. On a busy machine the seconds of processors tell more.
    """

    seconds: float
    processor_seconds: float
    megabytes: float
    failed: str = ""


def used(command: Sequence[str], *, cwd: Path, environment: dict[str, str]) -> Used:
    """Run a command and return what it and all that this process has started took meanwhile.

    Workers of a cluster that this process started count too. Memory is resident memory, summed:
    what processes share is counted for each.
    """
    started, over = time.perf_counter(), threading.Event()
    before, peak = taken(os.getpid())[0], [0.0, 0.0]

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            peak[:] = map(max, peak, taken(os.getpid()))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        told = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
    finally:
        over.set()
        watching.join()
    lines = told.stderr.strip().splitlines() or ["no word"]
    failed = lines[-1] if told.returncode else ""
    return Used(time.perf_counter() - started, peak[0] - before, peak[1] / 1e6, failed)


def taken(root: int) -> tuple[float, float]:
    """Return what the processes below `root` took: seconds of processors so far, and bytes held.

    A process that has ended counts with the one that waited for it.
    """
    children, found = defaultdict(list), {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        ticks = sum(map(int, stat[11:15]))
        found[int(folder.name)] = (ticks / TICKS, int(stat[21]) * PAGE)
        children[int(stat[1])].append(int(folder.name))
    seconds, held, waiting = 0.0, 0.0, list(children[root])
    while waiting:
        process = waiting.pop()
        seconds, held = seconds + found[process][0], held + found[process][1]
        waiting += children[process]
    return seconds, held
