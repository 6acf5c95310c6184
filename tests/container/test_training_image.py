"""The image that trains: what `docker run` and `docker exec` make is served by the one beside."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from ruamel.yaml import YAML

from tests import calling
from tests.checkout import PARAMS
from tests.container.test_image import docker, readiness, running
from tests.images import built_to_train
from tests.serving import ROOT
from tests.waiting import wait_until

SUGAR = "default: sugar\nmodels:\n" + PARAMS[PARAMS.index("  sugar:") :]
WORKFLOW = ROOT / ".github" / "workflows" / "training-image.yml"
RESTRICTED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)
SECONDS = 300
copied = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)


@dataclass(frozen=True)
class Stack:
    """An image, and a volume with the models that it makes."""

    image: str
    volume: str
    params: Path

    @property
    def mounts(self) -> tuple[str, ...]:
        """How a container that trains sees the models, and a declaration of its own."""
        given = f"{self.params}:/app/params.yaml:ro"
        return ("--volume", f"{self.volume}:/app/model", "--volume", given)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with built_to_train() as image:
        params = tmp_path / "params.yaml"
        params.write_text(SUGAR, encoding="utf-8")
        volume = f"treeline-test-{uuid4().hex}"
        docker("volume", "create", volume)
        try:
            yield Stack(image, volume, params)
        finally:
            docker("volume", "rm", "--force", volume)


def test_what_is_trained_in_a_container_is_served_by_the_one_beside(stack: Stack) -> None:
    told = docker("run", "--rm", *stack.mounts, stack.image, *train("sugar"), seconds=SECONDS)
    assert "passed" in told
    beside = ("--volume", f"{stack.volume}:/app/model:ro", *RESTRICTED)
    with running(stack.image, *beside, "--env", "WEB_CONCURRENCY=1", inside=8000) as (_, port):
        wait_until(lambda: readiness(port) == 200, seconds=60, what="it is ready")
        before = version(port)
        stack.params.write_text(SUGAR.replace("alpha: 0.1", "alpha: 0.2"), encoding="utf-8")
        other = docker("run", "--detach", *stack.mounts, stack.image, "sleep", "infinity")
        try:
            assert docker("exec", other, "id", "-u") == "10001"
            docker("exec", other, *train("sugar"), seconds=SECONDS)
        finally:
            docker("rm", "--force", "--volumes", other)
        wait_until(lambda: version(port) != before, seconds=30, what="the service has swapped")


def train(model: str) -> tuple[str, ...]:
    return ("treeline", "train", model)


def version(port: int) -> str:
    listed = calling.get(f"http://127.0.0.1:{port}/v1/models", timeout=60).json()["models"]
    return str({each["name"]: each["version"] for each in listed}["sugar"])


def test_the_image_is_built_anew_when_anything_that_is_in_it_has_changed() -> None:
    """But for the models: those it makes itself."""
    declared = YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))
    paths = {each.removesuffix("/**") for each in declared["on"]["push"]["paths"]}
    assert {each for each in ingredients() if not covered(each, paths)} == set()


def ingredients() -> set[str]:
    """Return what the Dockerfile copies from the repository into an image with RUNTIME=train."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    used = [each for each in stages if " AS " not in each.splitlines()[0]]
    used += [each for each in stages if re.match(r"FROM \S+ AS (build|train)\n", each)]
    assert len(used) == 3
    words = " ".join(line for each in used for line in copied.findall(each)).split()
    names = {each.replace("${RUNTIME}", "train").replace("loc[k]", "lock") for each in words}
    return {"Dockerfile", ".dockerignore", *names} - {"model", "dvc.lock"}


def covered(path: str, folders: set[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
