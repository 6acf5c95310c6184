"""Single predictions a second: the service against an empty FastAPI endpoint, in one run.

Run with `python -m benchmarks single_predictions` where `wrk` is installed and the models are
exported. Both are one uvicorn process with uvloop and httptools, asked in turns by the same client
on the same machine; the service validates, predicts, counts for Prometheus as several workers do,
and logs every prediction to SQLite. Leaves with 1 where the service answers fewer than 1.5 times
as many requests, or its 99th percentile is worse.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from pydantic_core import to_json

from benchmarks.seedlings import PROJECT
from treeline.artifact.store import ArtifactStore

MODEL = "tree-survival"
WANTED_RATIO = 1.5
ROUNDS, SECONDS, CONNECTIONS = 5, 3, 16
SETTLE_SECONDS = 6  # in which a new service starts the processes that it has beside it
APPLICATIONS = {
    "empty FastAPI endpoint": "benchmarks.empty_endpoint:create_app",
    "service": "api.app:create_app",
}
PORTS = (8471, 8472)
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """What one client saw: answers a second, and percentiles of the latency in milliseconds."""

    rate: float
    p50: float
    p99: float


def main() -> int:
    """Print the table; return 1 where the service is too slow, 2 where wrk is absent, else 0."""
    if shutil.which("wrk") is None:
        print("wrk is needed to ask fast enough; Debian has it as the package `wrk`")
        return 2
    body = to_json(ArtifactStore(PROJECT / "model").signature(MODEL).example.record).decode()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "ask.lua")
        header = 'wrk.headers["Content-Type"] = "application/json"'
        script.write_text(
            f'wrk.method = "POST"\n{header}\nwrk.body = [[{body}]]\n', encoding="utf-8"
        )
        return judged([round_of(script, body) for _ in range(ROUNDS)])


def round_of(script: Path, body: str) -> list[Load]:
    """Ask each application once, and say what was seen."""
    loads = []
    for (name, application), port in zip(APPLICATIONS.items(), PORTS, strict=True):
        with served(application, port=port, body=body) as url:
            loads.append(asked(url, script))
        print(f"  {name}: {loads[-1].rate:,.0f} requests/s", flush=True)
    return loads


def judged(rounds: list[list[Load]]) -> int:
    """Print the medians, and return 1 where the service is too slow."""
    print("\n| one process | requests/s | p50 ms | p99 ms |\n|---|---|---|---|")
    for name, loads in zip(APPLICATIONS, zip(*rounds, strict=True), strict=True):
        rate, p50, p99 = (
            statistics.median(getattr(load, each) for load in loads)
            for each in ("rate", "p50", "p99")
        )
        print(f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} |")
    ratio = statistics.median(ours.rate / empty.rate for empty, ours in rounds)
    tail = statistics.median(ours.p99 / empty.p99 for empty, ours in rounds)
    print(f"\nratio {ratio:.2f} (wanted: {WANTED_RATIO}); p99 {tail:.2f} times the other's")
    return int(ratio < WANTED_RATIO or tail > 1)


@contextmanager
def served(application: str, *, port: int, body: str) -> Iterator[str]:
    """Start an application in one process and wait until it answers; end it afterwards."""
    url = f"http://127.0.0.1:{port}/v1/predict"
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error")
    with tempfile.TemporaryDirectory() as state:
        settings = {"API_STATE_DIR": state, "PROMETHEUS_MULTIPROC_DIR": state}
        command = [sys.executable, "-m", "uvicorn", "--factory", application, "--port", str(port)]
        process = subprocess.Popen(
            [*command, *options],
            cwd=PROJECT,
            env={**os.environ, "API_DEFAULT_MODEL": MODEL, **settings},
        )
        try:
            while not answers(url, body):
                time.sleep(0.1)
            time.sleep(SETTLE_SECONDS)
            yield url
        finally:
            process.terminate()
            process.wait()


def answers(url: str, body: str) -> bool:
    request = Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except URLError as error:
        if getattr(error, "code", None):
            sys.exit(f"{url}: {error}; are the models exported? make repro")
        return False


def asked(url: str, script: Path) -> Load:
    """Ask as fast as answers come, after a second to warm up."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "--latency", "-s", str(script)]
    subprocess.run([*command, "-d1s", url], check=True, capture_output=True)
    told = subprocess.run(
        [*command, f"-d{SECONDS}s", url],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    ).stdout
    if "Non-2xx" in told:
        sys.exit(f"{url} did not answer every request:\n{told}")
    percentiles = {
        percent: float(number) * MILLISECONDS[unit]
        for percent, number, unit in re.findall(r"(\d+)% +([\d.]+)(us|ms|s)", told)
    }
    (rate,) = re.findall(r"Requests/sec: +([\d.]+)", told)
    return Load(float(rate), p50=percentiles["50"], p99=percentiles["99"])
