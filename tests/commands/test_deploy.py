"""The command that deploys: a registry, a Koyeb, and images that are really run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests.container.test_image import docker
from tests.images import (
    REGISTRY,
    commit_all,
    derived,
    need_docker,
    need_registry,
    write_context,
)
from tests.koyeb import SERVICE, TOKEN, Koyeb, real, scripted
from tests.serving import ROOT
from tests.tiny_models import IRIS
from treeline.contract.signature import Signature
from treeline.deployment import images
from treeline.deployment.deploying import Limits, deploy
from treeline.deployment.koyeb import KoyebService
from treeline.errors import DeploymentError

LIMITS = Limits(healthy_seconds=40, pause_seconds=0.1)
NEWER_IRIS = replace(IRIS, weights={"petal length (cm)": 0.7})


@pytest.fixture
def koyeb() -> Iterator[Koyeb]:
    with scripted() as stand_in:
        yield stand_in


@dataclass(frozen=True)
class Release:
    """A checkout and where its image is published."""

    folder: Path
    name: str
    image: str
    signature: Signature


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Release]]:
    """Two commits with a model each, their images pushed, the second made from the first."""
    need_docker()
    need_registry()
    name = f"{REGISTRY}/treeline-test/{uuid4().hex}"
    made = []
    for recipe in (IRIS, NEWER_IRIS):
        folder = tmp_path_factory.mktemp("release")
        [signature] = write_context(folder, recipe)
        commit_all(folder)
        made.append(Release(folder, name, images.release(folder, name=name), signature))
    first, second = made
    images.build(images.Recipe(first.folder, "1"), first.image, builder=images.Builder())
    with ExitStack() as stack:
        stack.callback(docker, "rmi", "--force", first.image)
        copied = second.folder / "model"
        context = tmp_path_factory.mktemp("second")
        copied.rename(context / "model")
        newer = stack.enter_context(derived(first.image, context, "COPY model model"))
        (context / "model").rename(copied)
        docker("tag", newer, second.image)
        stack.callback(docker, "rmi", "--force", second.image, f"{name}:latest")
        yield [shipped(release) for release in made]


def shipped(release: Release) -> Release:
    """Push the image as `ship` does, and name it by its digest from then on."""
    images.push(release.image)
    image = images.with_digest(release.image)
    images.note_shipped(release.folder, image, pushed_as=release.image)
    return replace(release, image=image)


def run_deploy(release: Release, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "")}
    return subprocess.run(
        [sys.executable, "-m", "treeline", "deploy", str(release.folder)],
        env={**known, "PYTHONPATH": str(ROOT / "src"), "IMAGE": release.name, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def on(koyeb: Koyeb, **more: str) -> dict[str, str]:
    service = {"KOYEB_TOKEN": TOKEN, "KOYEB_SERVICE": SERVICE, "KOYEB_API": koyeb.url}
    return {**service, "DEPLOY_SECONDS": "40", **more}


def predicted_by(url: str, signature: Signature) -> str:
    answer = httpx2.post(f"{url}/v1/predict", json=signature.example.record)
    return str(answer.json()["version"])


def digest_of(image: str) -> str:
    docker("pull", "--quiet", image)
    return docker("image", "inspect", "-f", "{{.Id}}", image)


def test_a_deployed_image_predicts_and_a_broken_one_does_not_replace_it(
    releases: list[Release], tmp_path: Path
) -> None:
    first, second = releases
    with real() as koyeb:
        endpoint = koyeb.endpoint
        for release in releases:
            done = run_deploy(release, **on(koyeb, ENDPOINT_URL=endpoint))
            assert done.returncode == 0, done.stderr
            assert predicted_by(endpoint, release.signature) == release.signature.version
            assert digest_of(f"{release.name}:latest") == digest_of(release.image)
        service = KoyebService(SERVICE, token=TOKEN, api=koyeb.url)
        (tmp_path / "model.onnx").write_bytes(b"broken")
        line = "COPY model.onnx model/iris/artifact/model.onnx"
        with (
            derived(first.image, tmp_path, line) as broken,
            pytest.raises(DeploymentError, match=r"(?s)as UNHEALTHY.*is back and healthy"),
        ):
            deploy(service, broken, fallback=None, endpoint=None, limits=LIMITS)
        assert predicted_by(endpoint, second.signature) == second.signature.version
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={second.image}") == ""


def test_the_last_good_image_stays_the_latest_when_a_deployment_fails(
    releases: list[Release], koyeb: Koyeb, tmp_path: Path
) -> None:
    first, second = releases
    latest = f"{first.name}:latest"
    docker("tag", first.image, latest)
    images.push(latest)
    koyeb.scripts[second.image] = ("UNHEALTHY",)
    page = tmp_path / "summary.md"
    done = run_deploy(second, **on(koyeb, GITHUB_STEP_SUMMARY=str(page)))
    assert done.returncode == 1
    assert f"{latest} is back and healthy." in done.stderr
    assert page.read_text().startswith(f"## Not deployed\n\n{second.image} is not in service")
    assert TOKEN not in done.stdout + done.stderr + page.read_text()
    assert digest_of(latest) == digest_of(first.image)


def test_without_a_service_the_image_is_the_latest_all_the_same(
    releases: list[Release], tmp_path: Path
) -> None:
    page = tmp_path / "summary.md"
    done = run_deploy(releases[1], KOYEB_TOKEN=TOKEN, GITHUB_STEP_SUMMARY=str(page))
    assert done.returncode == 0, done.stderr
    assert "nothing was put in service on koyeb: KOYEB_SERVICE not set" in done.stdout
    assert "is in service nowhere" in page.read_text()
    assert digest_of(f"{releases[1].name}:latest") == digest_of(releases[1].image)


def test_an_endpoint_that_is_not_known_is_told_not_asked(
    releases: list[Release], koyeb: Koyeb
) -> None:
    koyeb.scripts[releases[0].image] = ("HEALTHY",)
    done = run_deploy(releases[0], **on(koyeb))
    assert done.returncode == 0, done.stderr
    assert "ENDPOINT_URL is not set" in done.stdout
    assert "its endpoint was not asked" in done.stdout


def test_without_a_registry_nothing_is_deployed(releases: list[Release], koyeb: Koyeb) -> None:
    done = run_deploy(releases[0], **on(koyeb, IMAGE=""))
    assert done.returncode == 0
    assert "IMAGE is not set, so nothing was deployed" in done.stdout
    assert koyeb.requests == []


def test_an_image_that_was_not_shipped_is_not_deployed(
    releases: list[Release], koyeb: Koyeb
) -> None:
    done = run_deploy(replace(releases[0], name=f"{releases[0].name}-other"), **on(koyeb))
    assert done.returncode == 1
    assert "make ship" in done.stderr
    assert koyeb.requests == []


def test_a_limit_that_is_no_number_is_told_before_anything_is_deployed(
    releases: list[Release], koyeb: Koyeb
) -> None:
    done = run_deploy(releases[0], **on(koyeb, DEPLOY_SECONDS="soon"))
    assert done.returncode == 1
    assert "DEPLOY_SECONDS: 'soon' is no number of seconds" in done.stderr
    assert koyeb.images() == []
