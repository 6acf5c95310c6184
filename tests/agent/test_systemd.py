"""A machine without containers, as installed: real units of a real systemd, in a container here.

The container stands for the machine: systemd is its first process, and no engine is inside.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.agent.homes import TAG, Images
from tests.container.callers import steady_callers
from tests.container.test_image import docker
from tests.serving import ROOT, free_port
from tests.waiting import wait_until

DOCKERFILE = """\
FROM debian:bookworm-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes \\
    --no-install-recommends systemd systemd-sysv dbus haproxy python3-venv \\
    && rm -f /etc/systemd/system/multi-user.target.wants/haproxy.service
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
TREES = ("deploy", "requirements", "src", "api", "pyproject.toml")
PATIENCE = "[patience]\nready = 20\nprobation = 1.5\nlook = 0.5\nfailures = 2\n"
ASK = """
import json, urllib.request as web
request = web.Request("http://127.0.0.1:PORT/v1/predict", data=b"{}", method="POST")
print(json.load(web.urlopen(request, timeout=9))["image"])
"""


@dataclass(frozen=True)
class Machine:
    """A container in which systemd runs, and the port of the service."""

    name: str
    port: int

    def run(self, *words: str, seconds: float = 120) -> str:
        return docker("exec", self.name, *words, seconds=seconds)

    def served(self) -> str:
        return self.run("python3", "-c", ASK.replace("PORT", str(self.port)))

    def follow(self) -> None:
        self.run("systemctl", "start", "treeline-agent.service")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, shared_images: Images) -> Iterator[Machine]:
    """A machine on which the installer has run, and the first image is in service."""
    context = tmp_path_factory.mktemp("systemd")
    (context / "Dockerfile").write_text(DOCKERFILE)
    image = f"treeline-test-systemd:{uuid4().hex}"
    try:
        docker("build", "--quiet", "--tag", image, str(context), seconds=300)
    except AssertionError as error:
        pytest.skip(f"no image with systemd can be made: {error}")
    machine = Machine(f"treeline-test-{uuid4().hex}", free_port())
    links = os.environ.get("PIP_FIND_LINKS", "")
    settings = (
        ("--env", f"PIP_FIND_LINKS={links}", "--volume", f"{links}:{links}:ro") if links else ()
    )
    folders = ("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp")
    options = ("--detach", "--privileged", "--network", "host", *folders, *settings)
    try:
        docker("run", *options, "--name", machine.name, image)
        _install(machine, context, shared_images)
        yield machine
    finally:
        docker("rm", "--force", "--volumes", machine.name)
        docker("rmi", image)


def _install(machine: Machine, folder: Path, images: Images) -> None:
    for name in TREES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "checkout" / name if copy is shutil.copytree else folder)
    shutil.move(folder / "pyproject.toml", folder / "checkout")
    docker("cp", str(folder / "checkout"), f"{machine.name}:/root/checkout")
    wait_until(
        lambda: "running" in docker("exec", machine.name, "sh", "-c", STATE),
        seconds=60,
        what="systemd has started",
    )
    ports = (machine.port, free_port(), free_port(), free_port())
    images.tag("first")
    machine.run("sh", "-c", SETTINGS.format(listen=ports[0]))
    words = ("env", "HOST=environment", "SCHEDULE=cron", "/root/checkout/deploy/home/install.sh")
    machine.run(*words, f"{images.place}:{TAG}", seconds=400)
    text = (
        f"ports = [{ports[1]}, {ports[2]}]\n{PATIENCE}[front]\nmark_port = {ports[3]}\n"
        f'url = "http://127.0.0.1:{ports[0]}"\n'
    )
    machine.run("sh", "-c", f"cat >>/etc/treeline/agent.toml <<'END'\n{text}END")
    machine.follow()


STATE = "systemctl is-system-running || true"
SETTINGS = "mkdir -p /etc/treeline && echo LISTEN=127.0.0.1:{listen} >/etc/treeline/front.env"


def test_the_units_of_the_installer_put_releases_in_service(
    machine: Machine, shared_images: Images
) -> None:
    assert machine.served() == "first"
    with steady_callers(f"http://127.0.0.1:{machine.port}", pause=0.05) as callers:
        for wanted, expected in (("second", "second"), ("tires", "second"), ("first", "first")):
            shared_images.tag(wanted)
            machine.follow()
            assert machine.served() == expected
    assert callers.lost == []
    assert "refused" in machine.run("/opt/treeline/bin/treeline", "agent", "status")
    assert "root /opt/treeline/bin/treeline agent run" in machine.run("cat", "/etc/cron.d/treeline")
    users = machine.run("sh", "-c", "stat -c %U /proc/$(pidof -s haproxy) /var/lib/treeline")
    assert "root" not in users.splitlines()


def test_a_machine_that_starts_anew_serves_what_it_served(machine: Machine) -> None:
    served = machine.served()
    docker("restart", "--time", "20", machine.name)
    wait_until(
        lambda: "running" in docker("exec", machine.name, "sh", "-c", STATE),
        seconds=60,
        what="systemd has started again",
    )
    machine.follow()
    wait_until(lambda: machine.served() == served, seconds=30, what="it is served again")
