"""The real HAProxy with the configuration that is shipped, before whatever answers on a port."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving import ROOT, free_port
from tests.waiting import wait_until

SHIPPED = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
GROUPS = SHIPPED.with_name("groups.cfg")
PROXY = "127.0.0.9"  # an address of this machine that plays a proxy before the balancer
START_SECONDS = 20


@dataclass(frozen=True)
class Balancer:
    """A balancer that runs; it is asked in bytes, from any address of this machine."""

    port: int

    def connect(self, *, source: str = "127.0.0.1", timeout: float = 10) -> socket.socket:
        address = ("127.0.0.1", self.port)
        return socket.create_connection(address, timeout, source_address=(source, 0))

    def ask(self, request: str, *, source: str = "127.0.0.1") -> str:
        """Send a request, and return all that comes back: nothing where it may not connect."""
        try:
            with self.connect(source=source) as asking:
                asking.sendall(request.encode("latin-1"))
                return received(asking)
        except (ConnectionResetError, BrokenPipeError):
            return ""

    def status(self, target: str, *headers: str, source: str = "127.0.0.1") -> str:
        return self.ask(request_for(target, *headers), source=source)[9:12]


def request_for(target: str, *headers: str, method: str = "GET", body: str = "") -> str:
    """Write a request for a target; the connection ends after its answer."""
    head = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", body])


def received(asking: socket.socket) -> str:
    """Read until the other side ends the connection, or breaks it."""
    pieces = []
    try:
        while piece := asking.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces).decode("latin-1")


def need_haproxy() -> str:
    """Return the command; skip, saying what is missing, where there is none."""
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("needs haproxy: apt-get install haproxy")
    return found


def changed(text: str, former: str, other: str) -> str:
    """Put another place into the shipped text; fail when it says nothing of the former one."""
    assert text.count(former) == 1, f"{SHIPPED.name} does not say {former!r} once"
    return text.replace(former, other)


@contextmanager
def balancing(
    folder: Path, replica: int, *, connections: int = 200, group: int | None = None
) -> Iterator[Balancer]:
    """Run the shipped configuration, changed in where it listens and whom it asks alone.

    With the port of a replica of a `group` the shipped groups are there too.
    """
    command, port = need_haproxy(), free_port()
    text = changed(SHIPPED.read_text(), 'bind "${LISTEN-:8080}"', f"bind 127.0.0.1:{port}")
    asked = "server-template replica 1-32 api:8000"
    path = folder / "haproxy.cfg"
    path.write_text(changed(text, asked, f"server replica 127.0.0.1:{replica}"))
    environment = {
        **os.environ,
        "TRUSTED_PROXIES": f"{PROXY} 10.9.9.0/24",
        "CALLER_CONNECTIONS": str(connections),
    }
    words = [command, "-db", "-f", str(path)]
    if group is not None:
        environment["MODEL_GROUPS"] = str(SHIPPED.with_name("groups.map"))
        groups = folder / "groups.cfg"
        text = changed(GROUPS.read_text(), "resolvers docker init-addr none", "")
        asked = "server-template replica 1-32 api-large:8000"
        groups.write_text(changed(text, asked, f"server replica 127.0.0.1:{group}"))
        words += ["-f", str(groups)]
    balancer = Balancer(port)
    with (
        (folder / "haproxy.log").open("w+") as log,
        subprocess.Popen(words, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(
                lambda: _answers(balancer, process, folder / "haproxy.log"),
                seconds=START_SECONDS,
                what="the balancer answers",
            )
            yield balancer
        finally:
            process.terminate()


def _answers(balancer: Balancer, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return balancer.status("/readyz") == "200"
    except OSError:
        return False
