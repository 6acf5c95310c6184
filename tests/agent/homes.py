"""A home server: small images in a registry, the real HAProxy as front, and the real agent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import tomlkit

from tests.balancing import need_haproxy
from tests.container.test_image import docker
from tests.images import REGISTRY
from tests.serving import ROOT, free_port
from tests.tiny_models import SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.agent.assembling import agent_of, status_of
from treeline.agent.following import Agent
from treeline.agent.state import State, StateFile
from treeline.errors import AgentError

SERVICE = Path(__file__).with_name("small_service.py")
TAG = "stable"
INDEX = "application/vnd.oci.image.index.v1+json"
TYPES = ", ".join(
    (
        INDEX,
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
SECONDS = 60
# An image that is good may start slowly on a machine that does much else.
PATIENCE = {"ready": 60, "probation": 0.6, "look": 0.2, "failures": 2}


@dataclass(frozen=True)
class Images:
    """Small images of one repository in the registry: the digest of each, by its name."""

    repository: str
    digests: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{REGISTRY}/{self.repository}"

    def name(self, image: str) -> str:
        """Return the name of an image by its digest."""
        return f"{self.place}@{self.digests[image]}"

    def tag(self, image: str) -> None:
        """Have the tag lead to an image, as a push does."""
        url = f"http://{REGISTRY}/v2/{self.repository}/manifests"
        wanted = Request(f"{url}/{self.digests[image]}", headers={"Accept": TYPES})
        with urlopen(wanted, timeout=SECONDS) as answer:
            body, kind = answer.read(), answer.headers["Content-Type"]
        sent = Request(f"{url}/{TAG}", data=body, method="PUT", headers={"Content-Type": kind})
        urlopen(sent, timeout=SECONDS).close()


@contextmanager
def images(folder: Path, behaviours: Mapping[str, str]) -> Iterator[Images]:
    """Build and push an image for each name, which behaves as said; nothing of it stays here."""
    repository = f"treeline-test-{uuid4().hex[:12]}"
    digests = {}
    for number, (name, behaviour) in enumerate(behaviours.items()):
        context = folder / name
        weights = {**SURVIVAL.weights, "Leaves": number / 10}
        write_model(context / "model", replace(SURVIVAL, weights=weights))
        (context / "server.py").write_bytes(SERVICE.read_bytes())
        (context / "requirements.txt").write_text("# nothing but Python itself\n")
        starts = context / "initializer.sh"
        starts.write_text(
            f"#!/bin/sh\nBEHAVIOUR={behaviour} IMAGE_NAME={name} exec python server.py\n"
        )
        starts.chmod(0o755)
        (context / "Dockerfile").write_text(
            "FROM python:3.11-slim\nWORKDIR /app\n"
            "RUN python -c 'import http.server, json'\n"  # once, and not at each start
            "COPY . .\n"
            'LABEL org.opencontainers.image.revision="' + f"{number}" * 40 + '"\n'
            'CMD ["./initializer.sh"]\n'
        )
        image = f"{REGISTRY}/{repository}:{name}"
        docker("build", "--quiet", "--tag", image, str(context))
        docker("push", "--quiet", image)
        digests[name] = docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", image)
        docker("rmi", "--force", image)
    yield Images(repository, {name: each.rpartition("@")[2] for name, each in digests.items()})


@dataclass(frozen=True)
class Home:
    """A machine with an agent: the folder of its state, its front, and its images."""

    folder: Path
    images: Images
    port: int
    host: str = "docker"

    @property
    def prefix(self) -> str:
        return f"treeline-{self.images.repository[-12:]}-{self.folder.name[:8]}".lower()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def state(self) -> State:
        return StateFile(self.state_dir).read()

    def settings(self, **changes: Any) -> None:
        """Write the agent's settings, some of them changed for good."""
        self._config.write_text(tomlkit.dumps({**json.loads(self._base.read_text()), **changes}))

    @property
    def _base(self) -> Path:
        return self.folder / "base.json"

    def agent(self, action: str, *, fails: bool = False) -> str:
        """Have the agent do something to its end, and return what it printed and said."""
        with redirect_stdout(StringIO()) as printed:
            try:
                agent, failed = agent_of(self._config), False
                print({"run": agent.run, "retry": agent.retry, "back": self._back(agent)}[action]())
            except AgentError as error:
                print(error)
                failed = True
        assert failed == fails, printed.getvalue()
        return printed.getvalue()

    def _back(self, agent: Agent) -> Callable[[], str]:
        return lambda: agent.go_back("somebody went back by hand")

    def status(self) -> str:
        return status_of(self._config)

    @property
    def _config(self) -> Path:
        return self.folder / "agent.toml"

    def command(self, *words: str) -> list[str]:
        """Return the command line of the agent, for a process of its own."""
        return [sys.executable, "-m", "treeline", "agent", "--config", str(self._config), *words]

    def killed_at(self, line: str) -> None:
        """Run the agent, and kill it when it has printed a line that begins so."""
        with subprocess.Popen(
            self.command("run"), stdout=subprocess.PIPE, text=True, encoding="utf-8",
        ) as process:  # fmt: skip
            assert process.stdout is not None
            printed = []
            for each in process.stdout:
                printed.append(each)
                if each.startswith(line):
                    process.send_signal(signal.SIGKILL)
                    break
            process.wait(SECONDS)
        assert process.returncode == -signal.SIGKILL, f"{line!r} never came:\n{''.join(printed)}"

    def served(self) -> str:
        """Return the name of the image that answers at the port; nothing where none does."""
        request = Request(f"{self.url}/v1/predict", data=b"{}", method="POST")
        try:
            with urlopen(request, timeout=SECONDS) as answer:
                return str(json.load(answer)["image"])
        except OSError:
            return ""

    def containers(self) -> dict[str, str]:
        """Return the state of each container of this home, by its slot."""
        words = ("ps", "--all", "--filter", f"name=^{self.prefix}-", "--format")
        listed = self.engine(*words, "{{.Names}} {{.State}}")
        pairs = (line.split(maxsplit=1) for line in listed.splitlines())
        return {name.removeprefix(f"{self.prefix}-"): state for name, state in pairs}

    def local_images(self) -> set[str]:
        """Return the names of the images that this machine has of the repository."""
        here = set()
        for name in self.images.digests:
            words = [self.host, "image", "inspect", self.images.name(name)]
            if not subprocess.run(words, capture_output=True, check=False).returncode:
                here.add(name)
        return here

    def records(self) -> list[tuple[str, str]]:
        """Return what was recorded: the image and the outcome of each deployment."""
        by_digest = {digest: name for name, digest in self.images.digests.items()}
        path = self.state_dir / "deployments.json"
        return [
            (by_digest[each["image"].rpartition("@")[2]], each["outcome"])
            for each in json.loads(path.read_text())
        ]

    def engine(self, *words: str) -> str:
        done = subprocess.run(
            [self.host, *words], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        return done.stdout.strip()

    def clean(self) -> None:
        """Remove all that the agent has made on this machine's engine."""
        for words in (
            ("rm", "--force", "--volumes", f"{self.prefix}-blue", f"{self.prefix}-green"),
            ("volume", "rm", "--force", self.prefix),
            ("network", "rm", self.prefix),
            *(("image", "rm", self.images.name(name)) for name in self.images.digests),
        ):
            subprocess.run([self.host, *words], capture_output=True, check=False)


@contextmanager
def home(folder: Path, images: Images, *, host: str = "docker", **changes: Any) -> Iterator[Home]:
    """Yield a machine whose front runs; at the end nothing of it is left."""
    folder.mkdir(parents=True, exist_ok=True)
    home = Home(folder, images, free_port(), host)
    mark, live = free_port(), folder / "front" / "live.cfg"
    front = _Front(folder, home.port, live)
    base = {
        "image": f"{images.place}:{TAG}",
        "host": host,
        "prefix": home.prefix,
        "state_dir": str(home.state_dir),
        "ports": [free_port(), free_port()],
        "options": ["--memory=256m"],
        "front": {
            "file": str(live),
            "url": home.url,
            "mark_port": mark,
            "reload": [sys.executable, str(front.script)],
        },
        "patience": PATIENCE,
        "name": "laptop",
        **changes,
    }
    (folder / "base.json").write_text(json.dumps(base))
    home.settings()
    try:
        yield home
    finally:
        front.end()
        home.clean()


class _Front:
    """HAProxy as the unit of deploy/home runs it: a master that a signal reloads."""

    def __init__(self, folder: Path, port: int, live: Path) -> None:
        self._pid_file = folder / "haproxy.pid"
        self.script = folder / "reload.py"
        shipped = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
        command = [need_haproxy(), "-W", "-db", "-f", str(shipped), "-f", str(live)]
        environment = {
            "LISTEN": f"127.0.0.1:{port}",
            "BACKEND": "live",
            "TRUSTED_PROXIES": "255.255.255.255",
            "CALLER_CONNECTIONS": "200",
        }
        # What `systemctl reload-or-restart` does: start it, or signal the one that runs.
        self.script.write_text(
            "import os, signal, subprocess\n"
            f"pid_file, log = {str(self._pid_file)!r}, open({str(folder / 'haproxy.log')!r}, 'a')\n"
            "if os.path.exists(pid_file):\n"
            "    os.kill(int(open(pid_file).read()), signal.SIGUSR2)\n"
            "else:\n"
            f"    run = {command!r}\n"
            f"    front = subprocess.Popen(run, env={environment!r}, stdout=log, stderr=log)\n"
            "    open(pid_file, 'w').write(str(front.pid))\n"
        )

    def end(self) -> None:
        if self._pid_file.exists():
            pid = int(self._pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not _lives(pid), seconds=20, what="the front ends")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
