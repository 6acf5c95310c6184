"""The image that serves models of H2O: with Java, and as restricted as the other."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests import calling
from tests.container.test_image import docker, readiness, running
from tests.h2o_models import RECORD, need_java, run_stages
from tests.images import need_docker, write_context
from tests.waiting import wait_until

pytest.importorskip("h2o", reason="needs h2o: make setup-engines")

from treeline.artifact.h2o import shared

ASKED = "TREELINE_TEST_H2O_IMAGE"  # it holds 500 MB more than the other, which take minutes
RESTRICTED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--memory", "1g"),
    *("--security-opt", "no-new-privileges"),
)
SETTINGS = ("--env", "API_ALLOW_H2O=1", "--env", "H2O_MEMORY=256m")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of this repository with a model of H2O in it."""
    if not os.environ.get(ASKED):
        pytest.skip(f"takes minutes: set {ASKED}=1")
    need_docker()
    need_java()
    with pytest.MonkeyPatch.context() as patch:
        context = tmp_path_factory.mktemp("context")
        write_context(context)
        patch.chdir(tmp_path_factory.mktemp("project"))
        run_stages(Path.cwd()).rename(context / "model")
        shared().stop()
    name = f"treeline-test:{uuid4().hex}"
    options = ("--build-arg", "RUNTIME=h2o", "--tag", name)
    docker("build", "--quiet", *options, str(context), seconds=1200)
    yield name
    docker("rmi", "--force", name)


def test_it_predicts_from_a_read_only_disk(image: str) -> None:
    with running(image, *RESTRICTED, *SETTINGS, inside=8000) as (_, port):
        wait_until(lambda: readiness(port) == 200, seconds=120, what="it is ready")
        answer = calling.post(f"http://127.0.0.1:{port}/v1/predict", json=RECORD, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["Event"] == 1
