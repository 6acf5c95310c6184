"""The stack on a swarm of one machine: updated, and taken back, without a lost request."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from ruamel.yaml import YAML

from tests import calling
from tests.container.callers import status_of, steady_callers
from tests.container.test_composing import BALANCER, own_subnet
from tests.container.test_image import docker
from tests.images import derived, knows_containers_by_name, need_docker, write_context
from tests.serving import ROOT, free_port
from tests.tiny_models import SURVIVAL
from tests.waiting import wait_until

FILE = ROOT / "deploy" / "swarm.yaml"
SECRET = "treeline_keys"
SECONDS = 240  # of a start, on a busy machine
SERVICES = YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))["services"]

DECLARED = SERVICES["api"]["deploy"]["update_config"]
AS_DECLARED = ("--update-monitor", DECLARED["monitor"], "--update-delay", DECLARED["delay"])
QUICKLY = ("--update-monitor", "1s", "--update-delay", "0s")
PAUSE_SECONDS = 0.03  # of each caller: an update takes half a minute, most of it waiting

each_service = pytest.mark.parametrize("name", SERVICES)
pytestmark = knows_containers_by_name


@each_service
def test_a_service_of_the_swarm_may_not_do_what_it_need_not(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["read_only"] is True


@each_service
def test_a_service_of_the_swarm_has_limits_and_goes_back_by_itself(name: str) -> None:
    deploy = SERVICES[name]["deploy"]
    assert set(deploy["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert deploy["update_config"]["failure_action"] == "rollback"


@pytest.mark.parametrize("key", ["build", "depends_on", "security_opt", "tmpfs", "profiles"])
def test_nothing_stands_there_that_a_swarm_does_not_read(key: str) -> None:
    assert [name for name, service in SERVICES.items() if key in service] == []


@dataclass(frozen=True)
class Swarm:
    """A stack that runs on a swarm: its name, and where it answers."""

    name: str
    url: str

    def update(self, image: str, pace: Sequence[str] = ()) -> str:
        """Update the replicas to an image, wait for the end, and return the state it ended in."""
        words = ("--detach", "--no-resolve-image", "--image", image, *pace, f"{self.name}_api")
        docker("service", "update", *words)
        wait_until(lambda: self._update() in ENDS, seconds=2 * SECONDS, what="it has ended")
        return self._update()

    def images(self) -> set[str]:
        """Return the images of the replicas that run."""
        words = ("--filter", "desired-state=running", "--format", "{{.Image}}")
        return set(docker("service", "ps", *words, f"{self.name}_api").split())

    def tasks(self) -> str:
        """Return what has become of the replicas, and why those that failed did."""
        return docker("service", "ps", "--no-trunc", f"{self.name}_api")

    def _update(self) -> str:
        words = ("--format", "{{with .UpdateStatus}}{{.State}}{{end}}", f"{self.name}_api")
        return docker("service", "inspect", *words)


ENDS = ("completed", "rollback_completed", "paused", "rollback_paused")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_docker()
    if not docker("images", "--quiet", BALANCER):
        pytest.skip(f"{BALANCER} cannot be had")
    context = tmp_path_factory.mktemp("context")
    write_context(context, SURVIVAL)
    name = f"treeline-test:{uuid4().hex}"
    docker("build", "--quiet", "--tag", name, str(context), seconds=500)
    yield name
    docker("rmi", "--force", name)


@pytest.fixture(scope="module")
def manager() -> Iterator[None]:
    """This machine as a swarm of one."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        pytest.skip("this machine is part of a swarm already")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        yield
    finally:
        docker("swarm", "leave", "--force")


@pytest.fixture(scope="module")
def swarm(image: str, manager: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """Two replicas with a tiny model behind the balancer."""
    port = free_port()
    swarm = Swarm(f"t{uuid4().hex[:12]}", f"http://127.0.0.1:{port}")
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"admin:sha256:{'0' * 64}\n")
    docker("secret", "create", SECRET, str(keys))
    environment = os.environ | {
        "IMAGE": image,
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "FRONT_SUBNET": own_subnet(port),
    }
    words = ("stack", "deploy", "--detach=true", "--resolve-image", "never", "-c", str(FILE))
    deployed = subprocess.run(
        ["docker", *words, swarm.name], env=environment, capture_output=True, text=True, check=False
    )
    assert deployed.returncode == 0, deployed.stderr
    try:
        with httpx2.Client(timeout=20) as client:
            wait_until(
                lambda: status_of(client, swarm.url) == "200",
                seconds=SECONDS,
                what="the balancer answers",
            )
        yield swarm
    finally:
        docker("stack", "rm", swarm.name)
        wait_until(
            lambda: not docker("ps", "--all", "--quiet", "--filter", f"name={swarm.name}"),
            seconds=SECONDS,
            what="all are gone",
        )
        docker("volume", "rm", "--force", f"{swarm.name}_state")


def test_an_update_of_the_swarm_loses_no_request(swarm: Swarm, image: str, tmp_path: Path) -> None:
    with derived(image, tmp_path, "LABEL next=1") as other:
        with steady_callers(swarm.url, pause=PAUSE_SECONDS) as record:
            assert swarm.update(other) == "completed", swarm.tasks()
        assert swarm.images() == {other}
        assert record.lost == []
        assert record.answered > 100
        assert swarm.update(image, QUICKLY) == "completed"


def test_an_image_that_does_not_start_is_taken_back_and_nobody_notices(
    swarm: Swarm, image: str, tmp_path: Path
) -> None:
    with derived(image, tmp_path, 'CMD ["sh", "-c", "exit 1"]') as broken:
        with steady_callers(swarm.url, pause=PAUSE_SECONDS) as record:
            assert swarm.update(broken, AS_DECLARED) == "rollback_completed"
        assert swarm.images() == {image}
        assert record.lost == []
        assert record.answered > 100


def test_what_only_an_operator_may_needs_the_key_of_the_secret(swarm: Swarm) -> None:
    answer = calling.get(f"{swarm.url}/v1/predictions", timeout=60)
    assert answer.status_code == 401  # 403 where no key is set at all


def test_a_stack_without_an_image_says_which_word_is_missing() -> None:
    need_docker()
    environment = {name: value for name, value in os.environ.items() if name != "IMAGE"}
    refused = subprocess.run(
        ["docker", "stack", "config", "--compose-file", str(FILE)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert "the image to run, best by its digest" in refused.stderr
