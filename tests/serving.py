"""The real service as people start it: initializer.sh, gunicorn, workers; on a free port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import httpx2

from tests import calling
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
START_SECONDS = 300  # a busy machine takes long to import
STOP_SECONDS = 20


@dataclass(frozen=True)
class Service:
    """A running service: where it answers, its first process, and what it has printed so far."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """The address it was asked to listen on."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Tell whether it answers at all; fail when it has ended."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return calling.get(f"{self.url}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end as a supervisor does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def free_port() -> int:
    """Return a port that nothing listens on.

    It is listened on only later. Until then no other process of a parallel run may choose it too,
    nor the system hand it to a client: each process has its own share of the ports below those
    that clients get.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = SystemRandom().choice(range(10_000 + worker, 32_000, workers))
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


@contextmanager
def serving(models: Path, log: Path, **settings: str) -> Iterator[Service]:
    """Start the service over a folder of models and wait until it answers; end it afterwards."""
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "API_MODEL_DIR": str(models),
        "API_STATE_DIR": str(log.parent / "state"),
        "PORT": str(port),
        **settings,
    }
    with (
        log.open("wb") as written,
        subprocess.Popen(
            [ROOT / "initializer.sh"],
            cwd=log.parent,  # it must not matter from where it is called
            env=environment,
            stdout=written,
            stderr=written,
        ) as process,
    ):
        service = Service(port, process, log)
        try:
            wait_until(service.answers, seconds=START_SECONDS, what="the service answers")
            yield service
        finally:
            if process.poll() is None:
                service.stop()
