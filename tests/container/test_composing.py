"""The compose file as it stands: replicas behind a balancer, replaced without a lost request."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests import calling
from tests.container.callers import status_of, steady_callers
from tests.container.test_image import docker
from tests.images import knows_containers_by_name, need_docker, write_context
from tests.serving import ROOT, free_port
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

COMPOSE = ROOT / "deploy" / "compose.yaml"
BALANCER = "haproxy:3.2-alpine"
BASE = "python:3.11-slim"
START_SECONDS = 240  # of containers, on a busy machine: as long as their health checks wait
SELDOM = 0.05  # requests a second of one caller, in each of the replicas
pytestmark = knows_containers_by_name
ASK = """
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen
for n in range(int(sys.argv[2])):
    asked = Request(sys.argv[1], data=b"{}", headers={"X-Forwarded-For": f"6.6.6.{n}"})
    try:
        urlopen(asked, timeout=20)
    except HTTPError as error:
        print(error.code)
"""


@dataclass(frozen=True)
class Stack:
    """Replicas that run behind a balancer: how compose calls them, and where they answer."""

    project: str
    settings: Path
    url: str

    def compose(self, *words: str, seconds: float = START_SECONDS) -> str:
        options = ("--project-name", self.project, "--env-file", str(self.settings))
        return docker("compose", "--file", str(COMPOSE), *options, *words, seconds=seconds)

    def asked(self, url: str, *, network: str, times: int) -> list[str]:
        """Ask from a container in one of the networks, each time under another address."""
        words = ("--rm", "--network", f"{self.project}_{network}", BASE, "python", "-c", ASK)
        return docker("run", *words, url, str(times)).split()

    def answers(self) -> bool:
        with httpx2.Client() as client:
            return status_of(client, self.url) == "200"

    def replicas(self) -> set[str]:
        return set(self.compose("ps", "--quiet", "api").split())

    def update(self) -> subprocess.CompletedProcess[str]:
        options = ("--project-name", self.project, "--env-file", str(self.settings))
        return subprocess.run(
            [ROOT / "deploy" / "update.sh", *options],
            capture_output=True,
            text=True,
            timeout=2 * START_SECONDS,
            check=False,
        )


def own_subnet(port: int) -> str:
    """Return a network that no other stack on this machine has: as many as there are ports."""
    return f"10.{128 + (port >> 9) % 64}.{(port >> 1) & 255}.{(port & 1) * 128}/25"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two replicas with a tiny model, behind the balancer."""
    need_docker()
    try:
        if not docker("images", "--quiet", BALANCER):
            docker("pull", "--quiet", BALANCER, seconds=60)
    except (AssertionError, subprocess.TimeoutExpired):
        pytest.skip(f"{BALANCER} cannot be had")
    context, project, port = tmp_path_factory.mktemp("context"), f"t{uuid4().hex}", free_port()
    write_context(context, SURVIVAL)
    image = f"treeline-test:{project}"
    docker("build", "--quiet", "--tag", image, str(context), seconds=500)
    settings = context / "settings.env"
    given = {"IMAGE": image, "PORT": port, "REPLICAS": 2, "WEB_CONCURRENCY": 1}
    given |= {"COMPOSE_PROFILES": "api", "FRONT_SUBNET": own_subnet(port)}
    settings.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    stack = Stack(project, settings, f"http://127.0.0.1:{port}")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PORT", raising=False)  # of make, which compose would take before the file's
        try:
            stack.compose("up", "--detach", "--wait")
            wait_until(stack.answers, seconds=30, what="the balancer answers")
            yield stack
        finally:
            stack.compose("down", "--volumes", "--timeout", "5")
            docker("rmi", "--force", image)


def test_predictions_are_answered_through_the_balancer(stack: Stack) -> None:
    answer = calling.post(f"{stack.url}/v1/predict", json=SURVIVAL.example, timeout=60)
    assert answer.json()["model"] == "tree-survival"
    assert len(stack.replicas()) == 2


def test_what_is_counted_is_not_for_everybody(stack: Stack) -> None:
    assert calling.get(f"{stack.url}/metrics", timeout=60).status_code == 404


def test_an_update_replaces_every_replica_and_loses_no_request(stack: Stack) -> None:
    former = stack.replicas()
    with steady_callers(stack.url) as record:
        update = stack.update()
    assert update.returncode == 0, update.stderr
    assert record.lost == [], stack.compose("logs", "balancer")
    assert record.answered > 100
    assert len(stack.replicas()) == 2
    assert not stack.replicas() & former


def test_where_nothing_runs_an_update_says_how_to_start(stack: Stack, tmp_path: Path) -> None:
    told = subprocess.run(
        [ROOT / "deploy" / "update.sh", "--project-name", f"t{uuid4().hex}"],
        capture_output=True,
        text=True,
        env={**os.environ, "IMAGE": "treeline-test:none"},
        check=False,
    )
    assert told.returncode == 1
    assert "deploy/up.sh api" in told.stderr


def test_a_container_may_take_no_more_than_it_says(stack: Stack) -> None:
    limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuQuota}}"
    held = {docker("inspect", "--format", limits, replica) for replica in stack.replicas()}
    balancer = docker("inspect", "--format", limits, stack.compose("ps", "--quiet", "balancer"))
    assert held == {f"{3 << 30} 512 200000"}
    assert balancer == f"{256 << 20} 64 100000"


def test_who_asks_is_said_by_the_balancer_alone(stack: Stack) -> None:
    """Under other names nobody gets a second rate: not through the balancer, not beside it."""
    stack.settings.write_text(f"{stack.settings.read_text()}API_REQUESTS_PER_SECOND={SELDOM}\n")
    stack.compose("up", "--detach", "--wait")
    through, beside = "http://balancer:8080/v1/predict", "http://api:8000/v1/predict"
    # Each of the two replicas admits one request; which of them is asked beside, chance says.
    assert stack.asked(through, network="workshop", times=6).count("429") >= 4
    assert stack.asked(beside, network="default", times=6).count("429") >= 4
    other = calling.post(f"{stack.url}/v1/predict", json=SURVIVAL.example, timeout=60)
    assert other.status_code == 200  # of another address, which has a rate of its own
