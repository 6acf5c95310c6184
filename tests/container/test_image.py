"""The image as it is shipped: built, run as it will be run, asked, stopped."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx2
import pytest

from tests import calling
from tests.serving import ROOT, free_port
from tests.tiny_models import IRIS, SURVIVAL, write_model
from tests.waiting import wait_until

BASE = "python:3.11-slim"
MAX_BYTES = 175 * 10**6  # on top of the base, whose size is its maker's
CONTEXT = (
    *("Dockerfile", ".dockerignore", "initializer.sh", "pyproject.toml"),
    *("requirements", "src", "api"),
)
ABSENT = ("dvc", "matplotlib", "mlflow", "pandas", "pip", "pyarrow", "scipy", "sklearn", "xgboost")
FIND = f"from importlib.util import find_spec as f; print(*[m for m in {ABSENT} if f(m)])"


def docker(*words: str, seconds: float = 60) -> str:
    """Return what a docker command prints; fail with what it complains about."""
    told = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert told.returncode == 0, f"docker {' '.join(words)}: {told.stderr[-3000:]}"
    return told.stdout.strip()


def why_not() -> str:
    """Say what this machine lacks to build an image; nothing when it lacks nothing."""
    if shutil.which("docker") is None:
        return "no docker command"
    try:
        docker("info", seconds=20)
    except (AssertionError, subprocess.TimeoutExpired):
        return "no Docker engine answers"
    try:
        if not docker("images", "--quiet", BASE):
            docker("pull", "--quiet", BASE, seconds=120)
    except (AssertionError, subprocess.TimeoutExpired):
        return f"{BASE} cannot be had"
    return ""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of this repository with two tiny models in it."""
    if reason := why_not():
        pytest.skip(reason)
    context = tmp_path_factory.mktemp("context")
    for name in CONTEXT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, context / name)
    for recipe in (SURVIVAL, IRIS):
        write_model(context / "model", recipe)
    (context / "model" / "iris" / "model.pkl").write_bytes(b"of training, not of serving")
    name = f"treeline-test:{uuid4().hex}"
    docker("build", "--quiet", "--tag", name, str(context), seconds=500)
    yield name
    docker("rmi", "--force", name)


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[tuple[str, int]]:
    """A healthy container that may do nothing it need not do, and the port it answers on."""
    options = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--memory", "512m")
    more = ("--security-opt", "no-new-privileges")
    with running(image, *options, *more, inside=8000) as (container, port):
        wait_until(
            lambda: docker("inspect", "-f", "{{.State.Health.Status}}", container) == "healthy",
            seconds=60,
            what="it is healthy",
        )
        yield container, port


def test_it_is_small(image: str) -> None:
    sizes = docker("image", "inspect", "-f", "{{.Size}}", image, BASE).split()
    assert int(sizes[0]) - int(sizes[1]) < MAX_BYTES


def test_it_predicts_from_a_read_only_disk(container: tuple[str, int]) -> None:
    url = f"http://127.0.0.1:{container[1]}"
    answer = calling.post(f"{url}/v1/predict", json=SURVIVAL.example, timeout=60)
    assert answer.json()["model"] == "tree-survival"
    for path in ("/", "/docs", "/docs/assets/swagger-ui.css"):
        assert calling.get(url + path, timeout=60).status_code == 200


def test_it_does_not_run_as_root(container: tuple[str, int]) -> None:
    assert docker("exec", container[0], "id", "-u") == "10001"


def test_it_holds_no_training_library(container: tuple[str, int]) -> None:
    assert docker("exec", container[0], "python", "-c", FIND) == ""


def test_it_holds_of_a_model_only_what_is_served(container: tuple[str, int]) -> None:
    held = docker("exec", container[0], "find", "model", "-type", "f").split()
    assert sorted(held) == [
        f"model/{name}/{file}"
        for name in ("iris", "tree-survival")
        for file in ("artifact/model.onnx", "signature.json")
    ]


def test_it_says_what_it_is(image: str) -> None:
    labels = json.loads(docker("image", "inspect", "-f", "{{json .Config.Labels}}", image))
    assert labels["org.opencontainers.image.title"] == "Treeline"
    assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_it_ends_cleanly_and_quickly(image: str) -> None:
    with running(image, "--env", "PORT=9000", inside=9000) as (container, port):
        wait_until(lambda: readiness(port) == 200, seconds=60, what="it is ready")
        begun = time.monotonic()
        docker("stop", "--time", "30", container)
        assert time.monotonic() - begun < 10
        assert docker("inspect", "-f", "{{.State.ExitCode}}", container) == "0"


def test_without_its_models_it_is_not_healthy(image: str) -> None:
    with running(image, "--env", "API_MODEL_DIR=/nowhere", inside=8000) as (container, port):
        wait_until(lambda: readiness(port) == 503, seconds=60, what="it says it is not ready")
        with pytest.raises(AssertionError, match="healthcheck"):
            docker("exec", container, "python", "-m", "api.healthcheck")


@contextmanager
def running(image: str, *options: str, inside: int) -> Iterator[tuple[str, int]]:
    """Run a container, and give its id and the local port that leads to its port `inside`."""
    port = free_port()
    published = ["--publish", f"127.0.0.1:{port}:{inside}"]
    container = docker("run", "--detach", *published, *options, image)
    try:
        yield container, port
    finally:
        docker("rm", "--force", "--volumes", container)


def readiness(port: int) -> int:
    """Return the status with which a service says whether it is ready; 0 when it does not."""
    try:
        return calling.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code
    except httpx2.TransportError:
        return 0
