"""How long the service takes from its start until it is ready, beside the import of its libraries.

Run with `python -m benchmarks starting` where the models are exported. `initializer.sh` starts one
worker with all models of the checkout, and `/readyz` is asked until it says yes; what is beside it
is a process that does nothing but import what the service is made of. Each is started some times
in turns, the first time not counted, as nothing is in the page cache then; medians are printed.
"""

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from benchmarks.seedlings import PROJECT
from tests.serving import free_port

ROUNDS = 7
LIBRARIES = "import fastapi, gunicorn.app.wsgiapp, httptools, numpy, onnxruntime, uvicorn, uvloop"
LOOK_SECONDS = 0.005
PATIENCE_SECONDS = 60.0


def main() -> int:
    """Print the medians of both, in seconds of the clock and of processors."""
    seconds: dict[str, list[tuple[float, float]]] = {"libraries": [], "service": []}
    for turn in range(ROUNDS + 1):
        for name, start in (("libraries", libraries), ("service", service)):
            both = measured(start)
            if turn:
                seconds[name].append(both)
    for name, pairs in seconds.items():
        clock, processor = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"{name:10} {clock:6.2f} s until ready, {processor:6.2f} s of processors")
    ratio = statistics.median(
        one / other
        for (one, _), (other, _) in zip(seconds["service"], seconds["libraries"], strict=True)
    )
    print(f"ready after {ratio:.2f} times what the libraries alone take")
    return 0


def measured(start: Callable[[], float]) -> tuple[float, float]:
    """Return the seconds that a start takes, and those of processors until all of it has ended."""
    before = processor_seconds()
    seconds = start()
    return seconds, processor_seconds() - before


def processor_seconds() -> float:
    """Return what all processes took that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def libraries() -> float:
    """Import the libraries in a process of their own; return the seconds that took."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.perf_counter() - began


def service() -> float:
    """Start the service and end it; return the seconds until it was ready."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = {"PORT": str(port), "WEB_CONCURRENCY": "1", "API_STATE_DIR": folder}
        began = time.perf_counter()
        process = subprocess.Popen(
            [PROJECT / "initializer.sh"],
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_ready(process, port)
            return time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the service says that it is ready; leave where it has ended, or takes too long."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while not ready(port):
        if process.poll() is not None or time.perf_counter() > deadline:
            sys.exit("the service does not get ready; what does `make serve` say?")
        time.sleep(LOOK_SECONDS)


def ready(port: int) -> bool:
    """Tell whether the service says that it is ready."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
