"""A service that takes jobs and the runner beside it, as two processes with a folder between."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from api.http.keyring import JOBS, new_key
from tests import calling
from tests.kubernetes.stand_in import StandIn
from tests.serving import Service, serving
from tests.waiting import wait_until

KEY, LINE = new_key("trainer", scopes=frozenset({JOBS}))
HEADERS = {"X-API-Key": KEY}
END_SECONDS = 900
MODEL_BYTES, LOG_BYTES, DISK_BYTES = 1 << 20, 64 << 10, 48 << 20
LIMITS = {
    "seconds": 600,
    "grace_seconds": 1,
    "memory_bytes": 768 << 20,
    "cpus": 2,
    "processes": 64,
    "disk_bytes": DISK_BYTES,
    "model_bytes": MODEL_BYTES,
    "log_bytes": LOG_BYTES,
}
Files = Mapping[str, str | bytes]


@dataclass
class Place:
    """A folder for both, what the engine runs jobs in, and how its containers are called."""

    folder: Path
    image: str
    prefix: str
    engine: str
    words: str = ""
    """Lines of runner.toml that are the engine's own."""
    table: str = ""
    """A table of it."""
    cluster: StandIn | None = None

    @classmethod
    def of(
        cls, folder: Path, image: str, engine: str, *, words: str = "", table: str = ""
    ) -> "Place":
        return cls(folder, image, f"job{uuid4().hex[:8]}", engine, words, table)

    def elsewhere(self, folder: Path) -> "Place":
        """Return a place of the same engine with a folder and containers of its own."""
        return replace(self, folder=folder, prefix=f"job{uuid4().hex[:8]}")

    @contextmanager
    def service(self, models: Path, **settings: str) -> Iterator["Desk"]:
        """Run the service; what it writes stays for the next."""
        given = {"API_JOBS": "true", "API_KEYS": LINE, "API_JOBS_PER_KEY": "50"}
        given |= {"API_JOBS_WAITING": "50", "WEB_CONCURRENCY": "2"}
        with serving(models, self.folder / "service.log", **given, **settings) as service:
            yield Desk(service)

    @contextmanager
    def runner(self, *, at_once: int = 4, **limits: float) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a runner with these limits in the place of the usual ones."""
        written = "\n".join(f"{name} = {value}" for name, value in {**LIMITS, **limits}.items())
        config = self.folder / "runner.toml"
        config.write_text(
            f'spool = "{self.folder / "state" / "jobs"}"\nimage = "{self.image}"\n'
            f'state_dir = "{self.folder / "runner"}"\nprefix = "{self.prefix}"\n'
            f'engine = "{self.engine}"\n{self.words}\n'
            f"at_once = {at_once}\nlook_seconds = 0.7\n[limits]\n{written}\n{self.table}"
        )
        command = [sys.executable, "-m", "treeline", "runner", "--config", str(config)]
        with (self.folder / "runner.log").open("ab") as log:
            # Podman's monitor leaves a file `oom` where it was started from.
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def containers(self) -> list[str]:
        """Return the ids of the containers of jobs that there are, in a cluster of their pods."""
        if self.cluster is not None:
            pods = self.cluster.listed("pods", f"treeline.job.{self.prefix}")["items"]
            return [each["metadata"]["name"] for each in pods]
        label = f"label=treeline.job.{self.prefix}"
        return self._ask("ps", "--all", "--quiet", "--filter", label).split()

    def end(self) -> None:
        if self.cluster is None:
            for container in self.containers():
                self._ask("rm", "--force", "--volumes", container)

    def _ask(self, *words: str) -> str:
        command = [self.engine, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Desk:
    """The routes of jobs, asked with the key of one who trains."""

    service: Service

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        url = self.service.url + path
        return calling.request(method, url, headers=HEADERS, timeout=60, **more)

    def order(self, model: str, files: Files, **texts: str) -> str:
        """Order a job and return its id."""
        sent = {name: (name, content) for name, content in files.items()}
        answer = self.ask("POST", "/v1/jobs", data={"model": model, **texts}, files=sent)
        assert answer.status_code == 202, answer.text
        id: str = answer.json()["id"]
        assert answer.headers["location"] == f"/v1/jobs/{id}"
        return id

    def job(self, id: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/jobs/{id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def log(self, id: str) -> str:
        return self.ask("GET", f"/v1/jobs/{id}/log").text

    def comes_to(self, id: str, *states: str) -> dict[str, Any]:
        """Wait until a job has one of these states, and return it."""
        wait_until(
            lambda: self.job(id)["state"] in states, seconds=END_SECONDS, what=f"{id} is {states}"
        )
        return self.job(id)

    def ended(self, id: str) -> dict[str, Any]:
        return self.comes_to(id, "done", "failed", "cancelled")
