"""The compose file as it stands: replicas behind a balancer, replaced without a lost request."""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests.container.test_image import docker
from tests.images import need_docker, write_context
from tests.serving import ROOT, free_port
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

COMPOSE = ROOT / "deploy" / "compose.yaml"
BALANCER = "haproxy:3.2-alpine"


@dataclass(frozen=True)
class Stack:
    """Replicas that run behind a balancer: how compose calls them, and where they answer."""

    project: str
    settings: Path
    url: str

    def compose(self, *words: str, seconds: float = 120) -> str:
        options = ("--project-name", self.project, "--env-file", str(self.settings))
        return docker("compose", "--file", str(COMPOSE), *options, *words, seconds=seconds)

    def answers(self) -> bool:
        with httpx2.Client() as client:
            return status_of(client, f"{self.url}/v1/predict") == "200"

    def replicas(self) -> set[str]:
        return set(self.compose("ps", "--quiet", "api").split())

    def update(self) -> subprocess.CompletedProcess[str]:
        options = ("--project-name", self.project, "--env-file", str(self.settings))
        return subprocess.run(
            [ROOT / "deploy" / "update.sh", *options],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )


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
    given["COMPOSE_PROFILES"] = "api"
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
    answer = httpx2.post(f"{stack.url}/v1/predict", json=SURVIVAL.example)
    assert answer.json()["model"] == "tree-survival"
    assert len(stack.replicas()) == 2


def test_what_is_counted_is_not_for_everybody(stack: Stack) -> None:
    assert httpx2.get(f"{stack.url}/metrics").status_code == 404


def test_an_update_replaces_every_replica_and_loses_no_request(stack: Stack) -> None:
    former = stack.replicas()
    answered = 0
    lost: list[str] = []
    over = threading.Event()

    def ask() -> None:
        nonlocal answered
        with httpx2.Client(timeout=20) as client:
            while not over.is_set():
                told = status_of(client, f"{stack.url}/v1/predict")
                answered += 1
                if told != "200":
                    lost.append(told)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        told = stack.update()
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert told.returncode == 0, told.stderr
    assert lost == [], stack.compose("logs", "balancer")
    assert answered > 100
    assert len(stack.replicas()) == 2
    assert not stack.replicas() & former


def status_of(client: httpx2.Client, url: str) -> str:
    """Ask for one prediction, and return its status, or why there is none."""
    try:
        return str(client.post(url, json=SURVIVAL.example).status_code)
    except httpx2.TransportError as error:
        return repr(error)


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
