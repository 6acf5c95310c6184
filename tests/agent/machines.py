"""A machine in memory: a host whose slots are servers of this process, and a proxy as its front.

The host speaks the protocol of the agent's hosts, the proxy follows the file that the agent writes,
as HAProxy does after a reload. All else is the agent itself.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.answering import TensorEndpoint, answering
from tests.serving import free_port
from tests.tiny_models import SURVIVAL, write_model
from treeline.agent.following import Agent
from treeline.agent.front import MARK, HaproxyFront
from treeline.agent.reports import Reporter
from treeline.agent.rollout import Rollout
from treeline.agent.service import ServiceSettings
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, SlotName, State, StateFile
from treeline.contract.signature import Signature
from treeline.errors import AgentError, ArtifactRejectedError

NAMES = ("first", "second", "third")
RELEASES = {
    name: Release(image=f"r.example/a/b@sha256:{number * 64}")
    for name, number in zip(NAMES, "123", strict=True)
}


class PowerCut(BaseException):
    """The machine ends here; nothing that an agent could catch."""


class Service(TensorEndpoint):
    """A release that runs: it answers as its signature says, unless it is told otherwise."""

    release: str
    signature: Signature
    manner: Callable[["Service"], tuple[int, dict[str, Any]] | None]

    def do_GET(self) -> None:
        name, version = self.signature.name, self.signature.version
        ready = {"models": {name: version}, "release": self.release}
        self._answer(200, ready if self.path == "/readyz" else {"origin": "exported"})

    def do_POST(self) -> None:
        self.body()
        score = self.signature.example.scores[-1]
        self._answer(200, {"version": self.signature.version, "probability": score})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        status, document = self.manner(self) or (status, document)
        self.reply(status, json.dumps(document).encode())


class Proxy(TensorEndpoint):
    """Passes requests on to where the agent's file leads."""

    file: Path
    ports: Mapping[str, int]

    def do_GET(self) -> None:
        slot = MARK.search(self.file.read_text())
        assert slot is not None
        headers = {name: self.headers[name] for name in self.headers if name != "Content-Length"}
        headers["X-Forwarded-For"] = "127.0.0.1"
        url = f"http://127.0.0.1:{self.ports[slot[1]]}{self.path}"
        try:
            with urlopen(Request(url, self.body() or None, headers, method=self.command)) as answer:
                self.reply(answer.status, answer.read())
        except HTTPError as error:
            self.reply(error.code, error.read())
        except URLError:
            self.reply(503, b"{}")

    do_POST = do_GET


class Mark(TensorEndpoint):
    """Says where the proxy leads."""

    file: Path

    def do_GET(self) -> None:
        match = MARK.search(self.file.read_text()) if self.file.exists() else None
        self.reply(200, f"{match[1]} {match[2]}".encode() if match else b"")


@dataclass
class MemoryHost:
    """Two slots in this process; `manners` says of a release how it answers, None for well."""

    settings: AgentSettings
    signed: Mapping[str, Signature]
    manners: dict[str, Callable[[Service], tuple[int, dict[str, Any]] | None]] = field(
        default_factory=dict
    )
    network: bool = True
    pulls: int = 0  # how often the network was asked for a release
    fetched: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    placed: dict[SlotName, tuple[Release, str]] = field(default_factory=dict)
    servers: dict[SlotName, ThreadingHTTPServer] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: AgentSettings) -> Self:
        return cls(settings, {})

    def fetch(self, release: Release) -> None:
        if release.digest in self.fetched:
            return
        self.pulls += 1
        if not self.network:
            raise AgentError("there is no network")
        self.fetched.add(release.digest)

    def start(self, placement: Placement) -> None:
        if placement.release.digest not in self.fetched:
            raise AgentError(f"{placement.release.image}: is not here")
        if self.runs(placement):
            return
        self.clear(placement.slot)
        name = _name(placement.release)
        manner = self.manners.get(name, lambda service: None)
        members = {
            "release": name,
            "signature": self.signed[name],
            "manner": staticmethod(manner),
        }
        address = ("127.0.0.1", self.settings.port_of(placement.slot))
        server = ThreadingHTTPServer(address, type("Released", (Service,), members))
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        self.servers[placement.slot] = server
        mark = ServiceSettings.of(self.settings).mark
        self.placed[placement.slot] = (placement.release, mark)

    def is_current(self, placement: Placement) -> bool:
        return self.placed[placement.slot][1] == ServiceSettings.of(self.settings).mark

    def signatures(self, placement: Placement) -> Sequence[Signature]:
        name = _name(placement.release)
        if name in self.unreadable:
            raise ArtifactRejectedError(f"{name}: later_member: is no member of a signature")
        return [self.signed[name]]

    def runs(self, placement: Placement) -> bool:
        here = self.placed.get(placement.slot)
        return here is not None and here[0] == placement.release and placement.slot in self.servers

    def restarts(self, slot: SlotName) -> int:
        return 0

    def last_words(self, slot: SlotName) -> str:
        return ""

    def stop(self, slot: SlotName) -> None:
        if (server := self.servers.pop(slot, None)) is not None:
            server.shutdown()
            server.server_close()

    def clear(self, slot: SlotName) -> None:
        self.stop(slot)
        self.placed.pop(slot, None)

    def forget(self, image: str) -> bool:
        self.fetched.discard(image.rpartition("@")[2])
        return True


class Printer(Reporter):
    """A reporter at whose line `cut` the power goes."""

    cut = ""

    def log(self, text: str) -> None:
        super().log(text)
        if self.cut and text.startswith(self.cut):
            raise PowerCut


@dataclass
class Channel:
    """Says what is to run; None where nobody can be asked."""

    release: Release | None = None

    def wanted(self, present: Release | None) -> Release | None:
        return self.release


@dataclass
class Machine:
    """A machine with an agent, whose settings a test may change."""

    settings: AgentSettings
    host: MemoryHost
    channel: Channel = field(default_factory=Channel)
    cut: str = ""

    @property
    def agent(self) -> Agent:
        reporter = Printer(self.settings)
        reporter.cut = self.cut
        front = HaproxyFront(self.settings)
        return Agent(
            settings=self.settings,
            channel=self.channel,
            check=lambda release: None,
            host=self.host,
            rollout=Rollout(self.settings, self.host, front, sleep=lambda seconds: None),
            reporter=reporter,
            now=lambda: 1.0,
        )

    @property
    def state(self) -> State:
        return StateFile(self.settings.state_dir).read()

    def follow(self, name: str | None) -> str:
        """Have the agent run while a release is wanted."""
        self.channel.release = RELEASES[name] if name else None
        return self.agent.run()

    def change(self, **changes: Any) -> None:
        """Write other settings of the agent."""
        self.settings = self.settings.model_copy(update=changes)
        self.host.settings = self.settings

    def boot(self) -> None:
        """End all that runs, as a restart does."""
        for slot in list(self.host.servers):
            self.host.stop(slot)

    def served(self) -> str:
        """Return the name of the release that answers at the front; nothing where none does."""
        try:
            with urlopen(f"{self.settings.front.url}/readyz") as answer:
                return str(json.load(answer)["release"])
        except OSError:
            return ""


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Yield a machine on which nothing is in service yet."""
    live, ports = folder / "front" / "live.cfg", (free_port(), free_port())
    leads = {"file": live, "ports": dict(zip(("blue", "green"), ports, strict=True))}
    signed = {
        name: write_model(folder / name, replace(SURVIVAL, weights={"Leaves": number / 10}))
        for number, name in enumerate(NAMES)
    }
    with answering(Proxy, **leads) as url, answering(Mark, file=live) as mark:
        settings = AgentSettings.model_validate(
            {
                "image": "r.example/a/b:stable",
                "state_dir": folder / "state",
                "ports": ports,
                "environment_file": folder / "service.env",
                "front": {
                    "file": live,
                    "url": url,
                    "mark_port": int(mark.rpartition(":")[2]),
                    "reload": ["true"],
                },
                "patience": {"ready": 0.3, "probation": 0.2, "look": 0.1, "failures": 2},
                "name": "laptop",
            }
        )
        made = Machine(settings, MemoryHost(settings, signed))
        try:
            yield made
        finally:
            made.boot()


def _name(release: Release) -> str:
    return next(name for name, each in RELEASES.items() if each == release)
