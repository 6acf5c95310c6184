"""`python -m tests.fuzz` → hostile bodies for the service, until the time is over; `make fuzz`."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.fuzz import reporting
from tests.fuzz.cases import case_of
from tests.fuzz.formats import FORMATS
from tests.fuzz.oracle import Bounds
from tests.fuzz.running import Run, repeated
from tests.serving import ROOT

MINUTE = 60.0


def arguments(given: list[str]) -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="which chances")
    parser.add_argument("--format", action="append", choices=FORMATS, help="only these; all else")
    parser.add_argument("--case", type=int, help="only this one, of one format")
    parser.add_argument("--cases", type=int, help="only so many of each format, chosen by chance")
    parser.add_argument("--hold-ms", type=float, default=20, help="for which the loop may be held")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "fuzz", help="folder")
    return parser.parse_args(given)


def main(given: list[str]) -> int:
    """Run, say what is found, and return 1 when something is."""
    asked = arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # no service stays behind
    asked.output.mkdir(parents=True, exist_ok=True)
    names = asked.format or list(FORMATS)
    bounds = Bounds(hold_seconds=asked.hold_ms / 1e3)
    with tempfile.TemporaryDirectory(prefix="treeline-fuzz-") as folder:
        if asked.case is not None:
            return again(names[0], asked, bounds, Path(folder))
        run = Run([FORMATS[name]() for name in names], seed=asked.seed, bounds=bounds)
        if asked.cases:
            run.choose(asked.cases)
        return fuzz(run, asked, Path(folder))


def again(name: str, asked: argparse.Namespace, bounds: Bounds, folder: Path) -> int:
    """Send one case to a new service, and say what became of it."""
    case = case_of(FORMATS[name](), seed=asked.seed, number=asked.case)
    faults, outcome = repeated(case, bounds=bounds, folder=folder)
    answer = outcome.answer
    print(f"{case.request.method} {case.request.path[:200]} {len(case.payload)} bytes: {case.name}")
    print(f"{answer.status} {answer.fault} in {answer.seconds:.3f} s: {answer.body[:1000]!r}")
    print(f"loop held {outcome.hold_seconds * 1e3:.1f} ms, {outcome.growth_bytes >> 20} MiB more")
    for fault in faults:
        print(f"{fault.kind}: {fault.text!a}")
    return bool(faults)


def fuzz(run: Run, asked: argparse.Namespace, folder: Path) -> int:
    """Send cases, write findings, a line each minute and a table at the end."""
    started, over, found = time.monotonic(), threading.Event(), 0

    def progress() -> None:
        while not over.wait(MINUTE):
            minutes = (time.monotonic() - started) / MINUTE
            cases = sum(tally.cases for tally in run.tallies.values())
            print(f"{minutes:.0f} min: {cases} requests, {found} findings", flush=True)

    threading.Thread(target=progress, daemon=True).start()
    for finding in run.findings(asked.seconds, folder):
        found += 1
        reporting.write(asked.output, finding)
        print(reporting.line(finding), flush=True)
    over.set()
    cases = sum(tally.cases for tally in run.tallies.values())
    summary = (
        f"Commit {commit()}, seed {asked.seed}, {time.monotonic() - started:.0f} s, "
        f"{cases} requests, {run.services} services, {found} findings, nice {os.nice(0)}\n\n"
        f"{reporting.table(run.tallies)}\n"
    )
    (asked.output / "summary.md").write_text(summary)
    (asked.output / "worst.txt").write_text(reporting.culprits(run.tallies) + "\n")
    print(summary)
    return bool(found)


def commit() -> str:
    """Return the commit of this checkout, with a plus where it was changed."""
    asked = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    return subprocess.run(
        asked, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
