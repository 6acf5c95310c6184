"""Rows a second of batches over HTTP, beside the bare ONNX session on the same rows in memory.

Run with `python -m benchmarks batch` where the models are exported. One uvicorn process and the
one beside it that computes, prediction log on, asked by one client on the same machine. What is
measured beside the champion is a model of boosted trees under the same contract, trained here: a
linear champion takes a fifth of a microsecond for a row. Leaves with 1 where a CSV for the trees
is answered at less than half the bare session's rate.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from pydantic_core import to_json

from benchmarks.batch_tables import CSV, ROWS, TREES, bodies_of, random_codes, write_trees
from benchmarks.seedlings import PROJECT
from treeline.artifact.store import ArtifactStore, Model
from treeline.contract.encoding import Matrix

MODEL = "tree-survival"
FEWER, RUN_ROWS, ROUNDS = 100_000, 8192, 2
WANTED_RATIO = 0.5
PORT = 8473
STEP_SECONDS = 0.02


def main() -> int:
    """Print the tables; return 1 where a CSV for the trees is too slow."""
    signature = ArtifactStore(PROJECT / "model").signature(MODEL)
    matrix = random_codes(signature)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "model")
        write_trees(root, signature, matrix[:20_000])
        (root / MODEL).symlink_to(PROJECT / "model" / MODEL)
        bodies = {count: bodies_of(signature, matrix[:count]) for count in (FEWER, ROWS)}
        with served(root, Path(folder, "state")) as worker:
            spool = Path(folder, "state", "spool")
            ratio = rates(ArtifactStore(root), matrix, bodies[ROWS], spool=spool)
        with served(root, Path(folder, "other")) as worker:
            told_memory(worker, bodies)
            told_latency(bodies[ROWS][CSV], to_json(signature.example.record))
    print(f"\nCSV for the trees: {ratio:.2f} of the bare session (wanted: {WANTED_RATIO})")
    return int(ratio < WANTED_RATIO)


def rates(store: ArtifactStore, matrix: Matrix, bodies: dict[str, bytes], *, spool: Path) -> float:
    """Print rows a second by model and format; return the ratio of CSV for the trees.

    The log is shipped to its database after the answer; the next question waits until it is done.
    """
    print("\n| rows/s | bare session | CSV | JSON lines | Arrow | Parquet |")
    print("|---|---|---|---|---|---|")
    ratio = 0.0
    for name in (MODEL, TREES):
        model = store.load(name)
        for kind in bodies:
            ask(name, kind, bodies[kind][: bodies[kind].index(b"\n") + 1] if kind == CSV else b"")
        bare = statistics.median(len(matrix) / bare_seconds(model, matrix) for _ in range(ROUNDS))
        found = {
            kind: statistics.median(rate(name, kind, body, spool=spool) for _ in range(ROUNDS))
            for kind, body in bodies.items()
        }
        ratio = found[CSV] / bare
        cells = [f"{rate:,.0f} ({rate / bare:.2f})" for rate in found.values()]
        print(f"| {name} | {bare:,.0f} | {' | '.join(cells)} |", flush=True)
    return ratio


def rate(name: str, kind: str, body: bytes, *, spool: Path) -> float:
    """Return how many rows a second a batch takes, once the log of those before is shipped."""
    while any(spool.glob("*.rows")):
        time.sleep(STEP_SECONDS)
    return ROWS / ask(name, kind, body)


def bare_seconds(model: Model, matrix: Matrix) -> float:
    """Return how long a session takes for all rows, in runs of the size that suits it."""
    start = time.perf_counter()
    for first in range(0, len(matrix), RUN_ROWS):
        model.runtime.predict(matrix[first : first + RUN_ROWS])
    return time.perf_counter() - start


def ask(name: str, kind: str, body: bytes) -> float:
    """Post a batch, read the whole answer, and return the seconds that took."""
    connection = HTTPConnection("127.0.0.1", PORT, timeout=600)
    start = time.perf_counter()
    connection.request("POST", f"/v1/models/{name}/predict/batch", body, {"Content-Type": kind})
    answer = connection.getresponse()
    told = answer.read()
    seconds = time.perf_counter() - start
    if answer.status != 200 and len(body) > 1000:
        sys.exit(f"{kind}: {answer.status} {told[:300]!r}")
    return seconds


def told_memory(worker: int, bodies: dict[int, dict[str, bytes]]) -> None:
    """Print the most memory that the worker and the process beside it take, by size and format."""
    print("\n| MiB at most, worker + beside | CSV | JSON lines | Arrow | Parquet |")
    print("|---|---|---|---|---|")
    for count in (FEWER, ROWS):
        cells = []
        for kind, body in bodies[count].items():
            with most_memory(worker) as most:
                ask(MODEL, kind, body)
            cells.append(f"{most[0]:.0f} + {most[1]:.0f}")
        print(f"| {count:,} rows | {' | '.join(cells)} |", flush=True)


@contextmanager
def most_memory(worker: int) -> Iterator[list[float]]:
    """Watch what the worker and the computing process beside it take, apart from shared files."""
    most, ended = [0.0, 0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(STEP_SECONDS):
            beside = [pid for pid in children(worker) if b"api.sandbox.child" in command(pid)]
            most[0] = max(most[0], private(worker))
            most[1] = max(most[1], sum(map(private, beside)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def children(process: int) -> list[int]:
    """Return the processes that the threads of a process have started."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(pid) for each in lists for pid in each.read_text(encoding="utf-8").split()]


def command(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def private(process: int) -> float:
    """Return the MiB of memory of a process that no file on disk backs."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


def told_latency(body: bytes, record: bytes) -> None:
    """Print the latency of single predictions with and without a batch beside them."""
    print("\n| single predictions | p50 ms | p99 ms |\n|---|---|---|")
    busy = threading.Event()

    def keep_busy() -> None:
        busy.set()
        for _ in range(3):
            ask(MODEL, CSV, body)

    batch = threading.Thread(target=keep_busy)
    for label in ("idle", "during a batch"):
        if label != "idle":
            batch.start()
            busy.wait()
        times = sorted(singles(record, seconds=3.0))
        p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
        print(f"| {label} | {p50:.2f} | {p99:.2f} |", flush=True)
    batch.join()


def singles(record: bytes, *, seconds: float) -> list[float]:
    """Ask for one prediction after the other, and return how long each took."""
    connection, times = HTTPConnection("127.0.0.1", PORT), []
    deadline = time.perf_counter() + seconds
    while (start := time.perf_counter()) < deadline:
        connection.request("POST", "/v1/predict", record, {"Content-Type": "application/json"})
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
        time.sleep(0.002)  # a caller beside the batch, not a load of its own
    return times


@contextmanager
def served(models: Path, state: Path) -> Iterator[int]:
    """Start the service over the models in one process; yield its id; end it afterwards."""
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error")
    factory = ("-m", "uvicorn", "--factory", "api.app:create_app", "--port", str(PORT))
    settings = {"API_MODEL_DIR": str(models), "API_STATE_DIR": str(state), "API_LOG_LEVEL": "error"}
    process = subprocess.Popen(
        [sys.executable, *factory, *options], cwd=PROJECT, env={**os.environ, **settings}
    )
    try:
        while not answers():
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def answers() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False
