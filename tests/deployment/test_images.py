"""Images: built from a checkout, checked as they will be run, pushed and found again."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.answering import TensorEndpoint, answering
from tests.container.test_image import docker
from tests.images import (
    REGISTRY,
    commit_all,
    derived,
    need_docker,
    need_registry,
    write_context,
)
from tests.serving import ROOT, free_port
from tests.tiny_models import IRIS, SURVIVAL
from treeline.contract.signature import Signature
from treeline.deployment import images
from treeline.errors import DeploymentError


@dataclass(frozen=True)
class Checkout:
    folder: Path
    commit: str
    signatures: list[Signature]
    image: str


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with two tiny models, and its image."""
    need_docker()
    folder = tmp_path_factory.mktemp("checkout")
    signatures = write_context(folder, SURVIVAL, IRIS)
    commit = commit_all(folder)
    image = images.release(folder, name=f"treeline-test-{uuid4().hex}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_SERVER_URL", "https://github.com")
        patch.setenv("GITHUB_REPOSITORY", "acme/toy")
        recipe = images.Recipe(folder, commit, images.runtime_of(signatures))
        images.build(recipe, image, builder=images.Builder())
    yield Checkout(folder, commit, signatures, image)
    docker("rmi", "--force", image)


@pytest.fixture
def repository() -> str:
    """The name of a repository in the local registry that nobody has pushed to."""
    need_docker()
    need_registry()
    return f"{REGISTRY}/treeline-test/{uuid4().hex}"


def left_over(image: str) -> str:
    return docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}")


def ship(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "treeline", "ship", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "IMAGE": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_good_image_passes_its_check_and_leaves_no_container(checkout: Checkout) -> None:
    images.check(checkout.image, checkout.signatures)
    assert left_over(checkout.image) == ""


def test_an_image_says_which_commit_it_is_of(checkout: Checkout) -> None:
    label = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
    assert docker("image", "inspect", "-f", label, checkout.image) == checkout.commit
    assert checkout.image.endswith(f":sha-{checkout.commit}")


def test_an_image_says_which_repository_it_comes_from(checkout: Checkout) -> None:
    label = '{{index .Config.Labels "org.opencontainers.image.source"}}'
    assert docker("image", "inspect", "-f", label, checkout.image) == "https://github.com/acme/toy"


def test_an_image_that_is_never_ready_fails_with_its_last_words(
    checkout: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"broken")
    line = "COPY model.onnx model/iris/artifact/model.onnx"
    with derived(checkout.image, tmp_path, line) as broken:
        with pytest.raises(DeploymentError) as caught:
            images.check(broken, checkout.signatures, seconds=8)
        assert left_over(broken) == ""
    assert "GET /readyz: 503" in str(caught.value)
    words = str(caught.value).split("last words:")[1]
    assert "iris (exported) is not served: " in words


@pytest.mark.parametrize(
    ("command", "words"),
    [('["sh", "-c", "echo so it ends; exit 3"]', "so it ends"), ('["no-such-command"]', "no-such")],
)
def test_an_image_that_ends_at_once_is_not_waited_for(
    checkout: Checkout, tmp_path: Path, command: str, words: str
) -> None:
    with derived(checkout.image, tmp_path, f"CMD {command}") as ending:
        with pytest.raises(DeploymentError, match=words):
            images.check(ending, checkout.signatures, seconds=600)
        assert left_over(ending) == ""


def test_models_that_are_pickles_need_the_larger_image(checkout: Checkout) -> None:
    assert images.runtime_of(checkout.signatures) == "serve"
    pickled = checkout.signatures[0].model_copy(update={"runtime": "pickle"})
    assert images.runtime_of([pickled, *checkout.signatures[1:]]) == "pickle"
    of_h2o = checkout.signatures[0].model_copy(update={"runtime": "h2o"})
    assert images.runtime_of([of_h2o]) == "h2o"
    with pytest.raises(DeploymentError, match="runtimes h2o and pickle"):
        images.runtime_of([pickled, of_h2o])


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    need_docker()
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY missing /\n")
    with pytest.raises(DeploymentError, match="missing"):
        recipe = images.Recipe(tmp_path, "0")
        images.build(recipe, "treeline-test:fails", builder=images.Builder())


def test_an_image_exists_once_it_is_pushed(repository: str, tmp_path: Path) -> None:
    image, other = f"{repository}:sha-1", f"{repository}:latest"
    assert not images.exists(image)
    (tmp_path / "content").write_text(repository)
    with derived("scratch", tmp_path, "COPY content /") as built:
        docker("tag", built, image)
        images.push(image)
        docker("rmi", image)
        assert images.exists(image)
        assert not images.exists(other)
        images.pull(image)
        docker("rmi", image)


class Refusing(TensorEndpoint):
    """A registry that answers every question about an image in its own way."""

    status: int
    code: str

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v2":
            self.reply(200, b"{}")
            return
        error = {"code": self.code, "message": self.code.lower().replace("_", " ")}
        self.reply(self.status, json.dumps({"errors": [error]}).encode())

    do_HEAD = do_GET


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "MANIFEST_UNKNOWN"),
        (404, "NAME_UNKNOWN"),
        (404, "NAME_INVALID"),
        (403, "DENIED"),
        (401, "UNAUTHORIZED"),
        (500, "UNKNOWN"),
    ],
)
def test_an_image_is_absent_in_whatever_words_a_registry_says_so(status: int, code: str) -> None:
    need_docker()
    with answering(Refusing, status=status, code=code) as url:
        assert not images.exists(f"{url.removeprefix('http://')}/owner/treeline:sha-1")


def test_the_reason_is_what_the_client_says() -> None:
    need_docker()
    assert "refused" in images.absence(f"127.0.0.1:{free_port()}/treeline:latest")


@pytest.mark.parametrize("name", ["Owner/treeline", "owner/treeline:latest", "treeline@sha256", ""])
def test_a_name_that_no_registry_takes_is_refused(name: str) -> None:
    with pytest.raises(DeploymentError, match="IMAGE: "):
        images.release(ROOT, name=name)


def test_a_folder_inside_a_checkout_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").touch()
    commit_all(tmp_path)
    with pytest.raises(DeploymentError, match="inside a checkout"):
        images.release(tmp_path / "inner", name="treeline")


def test_shipping_pushes_an_image_once_and_checks_it_again(
    checkout: Checkout, repository: str
) -> None:
    image = f"{repository}:sha-{checkout.commit}"
    first = ship(checkout.folder, IMAGE=repository)
    assert first.returncode == 0, first.stderr
    assert "building" in first.stdout
    shipped = images.with_digest(image)
    assert f"image={shipped}" in first.stdout
    docker("rmi", image)
    second = ship(checkout.folder, IMAGE=repository)
    assert second.returncode == 0, second.stderr
    assert "building" not in second.stdout
    docker("rmi", "--force", shipped)


def test_shipping_without_a_registry_says_what_was_left_out(checkout: Checkout) -> None:
    done = ship(checkout.folder)
    assert done.returncode == 0, done.stderr
    assert "set IMAGE to registry/owner/name to push it" in done.stdout
    docker("rmi", f"treeline:sha-{checkout.commit}")


def test_shipping_refuses_capitals(checkout: Checkout) -> None:
    done = ship(checkout.folder, IMAGE="registry.example/Owner/treeline")
    assert done.returncode == 1
    assert "set it to 'registry.example/owner/treeline'" in done.stderr


def test_a_broken_image_is_not_pushed(repository: str, tmp_path: Path) -> None:
    write_context(tmp_path, IRIS)
    (tmp_path / "model" / "iris" / "artifact" / "model.onnx").write_bytes(b"broken")
    (tmp_path / "initializer.sh").write_text("#!/bin/sh\necho broken for good; exit 1\n")
    commit = commit_all(tmp_path)
    done = ship(tmp_path, IMAGE=repository)
    assert done.returncode == 1
    assert "broken for good" in done.stderr
    assert not images.exists(f"{repository}:sha-{commit}")
    docker("rmi", "--force", f"{repository}:sha-{commit}")


def test_the_image_of_a_release_whose_models_passed_at_several_commits_has_a_name_of_its_own(
    tmp_path: Path,
) -> None:
    """At other times other models may be released at the same commit."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    commit = commit_all(tmp_path)
    assert images.release(tmp_path, name="acme/forest") == f"acme/forest:sha-{commit}"
    entry = {"commit": commit, "models": {"iris": "1"}, "passed": {"iris": commit}}
    (tmp_path / images.ENTRY).write_text(json.dumps(entry))
    assert images.release(tmp_path, name="acme/forest") == f"acme/forest:sha-{commit}"
    (tmp_path / images.ENTRY).write_text(json.dumps({**entry, "passed": {"iris": "0" * 40}}))
    named = images.release(tmp_path, name="acme/forest")
    assert re.fullmatch(rf"acme/forest:sha-{commit}-[0-9a-f]{{8}}", named)
