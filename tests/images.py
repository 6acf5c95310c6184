"""Images of this repository with tiny models in them: built once, then others made from them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen
from uuid import uuid4

import pytest

from tests.container.test_image import CONTEXT, docker, why_not
from tests.serving import ROOT
from tests.tiny_models import Recipe, write_model
from treeline.contract.signature import Signature

REGISTRY = os.environ.get("TREELINE_TEST_REGISTRY", "127.0.0.1:5000")  # a registry without login

# An engine that leaves a swarm forgets the names by which containers of all its networks know each
# other. So tests of a stack, which live by such names, and those of the swarm share a process.
knows_containers_by_name = pytest.mark.xdist_group("names of containers")


def need_docker() -> None:
    """Skip, naming what this machine lacks to run an image."""
    if reason := why_not():
        pytest.skip(reason)


def need_podman(*words: str) -> None:
    """Skip where there is no Podman, or a command of it does not go well here: it needs set-up."""
    if shutil.which("podman") is None:
        pytest.skip("needs podman: apt-get install podman")
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"`podman {' '.join(words)}` fails here: {done.stderr.strip()[-300:]}")


def need_registry() -> None:
    """Skip where no local registry answers."""
    try:
        urlopen(f"http://{REGISTRY}/v2/", timeout=5).close()
    except OSError:
        pytest.skip(f"no registry answers at {REGISTRY}")


def write_context(folder: Path, *recipes: Recipe) -> list[Signature]:
    """Copy what an image is built from, put models there, and return their signatures by name."""
    for name in CONTEXT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    written = [write_model(folder / "model", recipe) for recipe in recipes]
    return sorted(written, key=lambda signature: signature.name)


@contextmanager
def built_to_train() -> Iterator[str]:
    """Build the image that trains, of this repository's code and no model.

    The engine keeps its layers: whoever builds it again waits for a moment.
    """
    need_docker()
    with TemporaryDirectory() as folder:
        context = Path(folder)
        write_context(context)
        (context / "model").mkdir()
        for name in (
            "params.yaml",
            "dvc.yaml",
            ".dvcignore",
            ".dvc/config",
            ".dvc/plots/chart.json",
        ):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, context / name)
        shutil.copytree(ROOT / "dataset" / "sources", context / "dataset" / "sources")
        name = f"treeline-test:{uuid4().hex}"
        options = ("--build-arg", "RUNTIME=train", "--tag", name)
        docker("build", "--quiet", *options, str(context), seconds=900)
    try:
        yield name
    finally:
        docker("rmi", "--force", name)


def commit_all(folder: Path) -> str:
    """Commit everything in a folder as the repository it becomes, and return the commit."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "t")):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    )
    return asked.stdout.strip()


@contextmanager
def derived(base: str, folder: Path, *lines: str) -> Iterator[str]:
    """Build an image from another by lines of a Dockerfile in `folder`; remove it afterwards."""
    (folder / "Dockerfile").write_text("\n".join([f"FROM {base}", *lines, ""]))
    name = f"treeline-test:{uuid4().hex}"
    docker("build", "--quiet", "--tag", name, str(folder))
    try:
        yield name
    finally:
        docker("rmi", "--force", name)
