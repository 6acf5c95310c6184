"""What a service keeps, saved as it runs and brought back on an empty machine: same answers."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from api.http.keyring import new_key
from tests import calling
from tests.container.test_composing import BALANCER, Stack, own_subnet
from tests.container.test_image import docker
from tests.images import knows_containers_by_name, need_docker, write_context
from tests.serving import ROOT, free_port
from tests.tiny_models import IRIS, SURVIVAL, build_graph, sign
from tests.waiting import wait_until

POSTGRES = "postgres:17-alpine"
DEPLOY = ROOT / "deploy"
URL = "postgresql://treeline:only-here@postgres/treeline"
# Profiles of a stack, and what is saved of it beside the sums: the log is SQLite, or PostgreSQL.
STORED = {"api": {"state.tar"}, "api,postgres": {"state.tar", "log.dump"}}
VOLUMES = {"state.tar": "state", "log.dump": "postgres"}  # what each is brought back into
KEY, KNOWN_KEY = new_key("operator")
MAY = {"Authorization": f"Bearer {KEY}"}
pytestmark = knows_containers_by_name


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_docker()
    if not docker("images", "--quiet", BALANCER):
        pytest.skip(f"needs the image {BALANCER}")
    context = tmp_path_factory.mktemp("context")
    write_context(context, SURVIVAL)
    image = f"treeline-test:{uuid4().hex}"
    words = ("--quiet", "--build-arg", "RUNTIME=full", "--tag", image)
    docker("build", *words, str(context), seconds=500)
    yield image
    docker("rmi", "--force", image)


@contextmanager
def machine(folder: Path, image: str, profiles: str) -> Iterator[Stack]:
    """Yield a stack that is declared and not started: one replica, and where its log is."""
    project, port = f"t{uuid4().hex}", free_port()
    settings = folder / f"{project}.env"
    values = {
        "IMAGE": image,
        "PORT": port,
        "REPLICAS": 1,
        "WEB_CONCURRENCY": 1,
        "COMPOSE_PROFILES": profiles,
        "FRONT_SUBNET": own_subnet(port),
        "API_KEYS": KNOWN_KEY,
        "POSTGRES_PASSWORD": "only-here",
        "API_PREDICTION_LOG_URL": URL if "postgres" in profiles else "",
    }
    settings.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    stack = Stack(project, settings, f"http://127.0.0.1:{port}")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PORT", raising=False)
        try:
            yield stack
        finally:
            stack.compose("--profile", "*", "down", "--volumes", "--timeout", "5")


def start(stack: Stack) -> None:
    stack.compose("up", "--detach", "--wait")
    wait_until(stack.answers, seconds=60, what="the balancer answers")


def volumes(stack: Stack) -> set[str]:
    """Return the volumes that a stack has."""
    label = f"label=com.docker.compose.project={stack.project}"
    listed = docker("volume", "ls", "--quiet", "--filter", label).split()
    return {name.removeprefix(f"{stack.project}_") for name in listed}


def script(name: str, stack: Stack, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ("--project-name", stack.project, "--env-file", str(stack.settings))
    return subprocess.run(
        [DEPLOY / name, *options, str(folder)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def kept(stack: Stack) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return what an uploaded model answers, and what was logged of the earlier predictions."""
    url = f"{stack.url}/v1/models/iris/predict"
    answer = calling.post(url, json=dict(IRIS.example), timeout=60).json()
    words = {"format": "jsonl", "model": SURVIVAL.name}
    text = calling.get(f"{stack.url}/v1/predictions", params=words, headers=MAY, timeout=60).text
    lines = [json.loads(line) for line in text.splitlines()]
    return {name: answer[name] for name in ("species", "probabilities", "version")}, lines


@pytest.mark.parametrize("profiles", STORED)
def test_an_empty_machine_answers_as_the_one_that_was_saved(
    image: str, tmp_path: Path, profiles: str
) -> None:
    if "postgres" in profiles and not docker("images", "--quiet", POSTGRES):
        pytest.skip(f"needs the image {POSTGRES}")
    saved = tmp_path / "saved"
    with machine(tmp_path, image, profiles) as former:
        start(former)
        graph = build_graph(IRIS)
        sign(graph, IRIS)
        put = calling.put(
            f"{former.url}/v1/models/iris",
            content=graph.SerializeToString(), headers=MAY, timeout=60,
        )  # fmt: skip
        assert put.status_code in (200, 201), put.text
        for _ in range(3):
            calling.post(f"{former.url}/v1/predict", json=dict(SURVIVAL.example), timeout=60)
        expected = kept(former)
        assert len(expected[1]) >= 3
        done = script("backup.sh", former, saved)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in saved.iterdir()} == {*STORED[profiles], "SHA256SUMS"}
    with machine(tmp_path, image, profiles) as empty:
        done = script("restore.sh", empty, saved)
        assert done.returncode == 0, done.stderr
        assert volumes(empty) == {VOLUMES[name] for name in STORED[profiles]}
        start(empty)
        answer, logged = kept(empty)
        assert answer == expected[0]
        assert logged[: len(expected[1])] == expected[1]
        again = script("restore.sh", empty, saved)
        assert again.returncode == 1
        assert "is there already" in again.stderr
