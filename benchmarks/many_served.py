"""How a service grows with the number of models that it serves.

A scratch folder gets N renamed copies of one model that is exported here, and one worker serves it.
Seconds are those of the processor, which a busy machine does not change as much as those of the
clock; milliseconds are medians of single requests one after the other, on one connection.
"""

import http.client
import json
import os
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

import onnx

from benchmarks.process_usage import PAGE, TICKS
from benchmarks.seedlings import PROJECT
from treeline.artifact.onnx import SIGNATURE_KEY
from treeline.artifact.store import SIGNATURE_FILE
from treeline.contract.signature import Signature
from treeline.files import digest

COUNTS = ((1, 0), (50, 0), (200, 0), (1000, 0), (1000, 50))  # models, and API_LOADED_MODELS
MODEL = "tree-survival"
FILE = "artifact/model.onnx"
PORT = 8473
IDLE_SECONDS = 20
ASKED = 20  # models that are asked for the first time
START_SECONDS = 600
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Served:
    """What one worker took: seconds until it was ready, of the processor and of the clock; memory;
    milliseconds of first and of later answers; and how much of a processor it takes while idle.
    """

    processor_seconds: float
    seconds: float
    megabytes: float
    first_ms: float
    later_ms: float
    idle_share: float


def main() -> int:
    """Print a line per number of models."""
    print(
        "| models | start, s of processor | until ready, s | memory, MB | first answer, ms |",
        end="",
    )
    print(" later answers, ms | idle, % of a processor |\n|---|---|---|---|---|---|---|")
    for count, loaded in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            names = [f"{MODEL}-{number}" for number in range(count)]
            write_copies(Path(folder) / "model", names)
            seen = measured(Path(folder), names, loaded=loaded)
        label = f"{count}, {loaded} in memory" if loaded else str(count)
        print(
            f"| {label} | {seen.processor_seconds:.1f} | {seen.seconds:.1f} | {seen.megabytes:.0f} "
            f"| {seen.first_ms:.1f} | {seen.later_ms:.1f} | {100 * seen.idle_share:.1f} |",
            flush=True,
        )
    return 0


def write_copies(root: Path, names: list[str]) -> None:
    """Write copies of the model, each under its own name and whole."""
    source = PROJECT / "model" / MODEL
    signature, graph = Signature.read(source / SIGNATURE_FILE), onnx.load(source / FILE)
    for name in names:
        own = signature.model_copy(update={"name": name, "default": name == names[0]})
        for entry in graph.metadata_props:
            if entry.key == SIGNATURE_KEY:
                entry.value = own.model_copy(update={"files": {}}).model_dump_json()
        path = root / name / FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(graph.SerializeToString())
        whole = own.model_copy(update={"files": {FILE: digest(path)}})
        (root / name / SIGNATURE_FILE).write_text(whole.model_dump_json(indent=2), "utf-8")


def measured(folder: Path, names: list[str], *, loaded: int) -> Served:
    """Serve a folder of models, so many of them `loaded` (0: all); see what the worker takes."""
    body = json.dumps(
        Signature.read(folder / "model" / names[0] / SIGNATURE_FILE).example.record
    ).encode()
    began = time.perf_counter()
    with serving(folder, loaded=loaded) as process:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        seconds = ready_after(connection, process, began)
        started = taken(process.pid)[0]
        first = [asked(connection, name, body) for name in names[:ASKED]]
        later = [asked(connection, names[0], body) for _ in range(200)]
        before = taken(process.pid)[0]
        time.sleep(IDLE_SECONDS)
        after, held = taken(process.pid)
    return Served(
        processor_seconds=started,
        seconds=seconds,
        megabytes=held / 1e6,
        first_ms=statistics.median(first),
        later_ms=statistics.median(later),
        idle_share=(after - before) / IDLE_SECONDS,
    )


@contextmanager
def serving(folder: Path, *, loaded: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Run one worker over the models of a folder meanwhile."""
    environment = {
        **os.environ,
        "API_MODEL_DIR": str(folder / "model"),
        "API_STATE_DIR": str(folder / "state"),
        "API_PREDICTION_LOG": "0",
        "API_LOADED_MODELS": str(loaded),
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app"]
    options = ["--port", str(PORT), "--log-level", "error", "--no-access-log"]
    with subprocess.Popen([*command, *options], cwd=PROJECT, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
    shutil.rmtree(folder / "state", ignore_errors=True)


def ready_after(
    connection: http.client.HTTPConnection, process: subprocess.Popen[bytes], began: float
) -> float:
    """Return after how many seconds a service is ready; raises RuntimeError where it ends."""
    while time.perf_counter() - began < START_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}")
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                return time.perf_counter() - began
        except OSError:
            connection.close()
        time.sleep(0.02)
    raise RuntimeError(f"the service is not ready after {START_SECONDS} seconds")


def asked(connection: http.client.HTTPConnection, name: str, body: bytes) -> float:
    """Ask a model once, and return the milliseconds; raises RuntimeError for a refusal."""
    began = time.perf_counter()
    connection.request("POST", f"/v1/models/{name}/predict", body, JSON)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"{name}: {answer.status}: {text.decode()}")
    return 1000 * (time.perf_counter() - began)


def taken(process: int) -> tuple[float, float]:
    """Return what one process took: seconds of processors so far, and bytes held."""
    stat = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(map(int, stat[11:13])) / TICKS, int(stat[21]) * PAGE


if __name__ == "__main__":
    sys.exit(main())
