"""A standalone cluster of Spark on this machine: a master and workers from the pip package."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

START_SECONDS = 60
END_SECONDS = 10
STEP_SECONDS = 0.1
SCALA = "2.13"  # what Spark 4 is built for; executors are started with it
DEPLOY = "org.apache.spark.deploy"


@contextmanager
def cluster(folder: Path, *, workers: int = 2, memory: str = "1g") -> Iterator[str]:
    """Yield the URL of a master with `workers` of one core each; at the end all are gone."""
    port, page = free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    running = []
    try:
        options = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page)]
        running.append(_started(folder / "master", f"{DEPLOY}.master.Master", *options))
        for number in range(workers):
            place = folder / f"worker{number}"
            options = ["--host", "127.0.0.1", "--cores", "1", "--memory", memory]
            options += ["--webui-port", "0", "--work-dir", str(place), url]
            running.append(_started(place, f"{DEPLOY}.worker.Worker", *options))
        _await_workers(f"http://127.0.0.1:{page}/json/", workers, folder)
        yield url
    finally:
        for process in reversed(running):
            _end(process)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _started(place: Path, daemon: str, *options: str) -> "subprocess.Popen[bytes]":
    """Start a daemon in a group of its own, which its executors join."""
    spec = find_spec("pyspark")
    assert spec is not None and spec.origin is not None
    home = Path(spec.origin).parent
    java = shutil.which("java") or "java"
    place.mkdir(parents=True)
    # as the package's spark-class does, without the JVM that it asks for this very command
    plain = ["-Xmx256m", "-Dspark.master.rest.enabled=false"]
    command = [java, *plain, "-cp", f"{home}/conf:{home}/jars/*", daemon, *options]
    told = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SCALA_VERSION": SCALA}
    with (place / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=place,
            env={**os.environ, **told},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _await_workers(page: str, workers: int, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while _alive(page) < workers:
        if time.monotonic() > until:
            told = "\n".join(log.read_text()[-1000:] for log in folder.glob("*/log"))
            raise AssertionError(f"the cluster was not up within {START_SECONDS} s:\n{told}")
        time.sleep(STEP_SECONDS)


def _alive(page: str) -> int:
    try:
        with urlopen(page, timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"])
    except OSError:
        return 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(END_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
