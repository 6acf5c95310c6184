"""What MLflow needs beside us: its server on a database, and a store of objects; started here."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.serving import free_port
from tests.waiting import wait_until

START_SECONDS = 300  # it makes its tables first, on a machine that may be busy
SMALL = {  # one process that answers, and none that reports or runs jobs
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


class Server:
    """An MLflow server that can be killed and started again on the same port."""

    def __init__(self, log: Path, *options: str, **environment: str) -> None:
        self.port = free_port()
        self._log, self._options = log, options
        self._environment = {**os.environ, **SMALL, **environment}
        self._environment.pop("MLFLOW_TRACKING_URI", None)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._log.parent,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, seconds=START_SECONDS, what="MLflow answers")

    def kill(self) -> None:
        """End it, and what it started, as a power cut does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def mlflow_server(log: Path, *options: str, **environment: str) -> Iterator[Server]:
    """Start a server and wait until it answers; end it afterwards."""
    server = Server(log, *options, **environment)
    try:
        server.start()
        yield server
    finally:
        server.kill()
