"""The engines that jobs are tried on, where this machine has them: each as a place for a runner."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.images import built_to_train, need_podman
from tests.jobs.places import Place
from tests.jobs.wheels import write_wheel
from tests.kubernetes.pods import need_mounts
from tests.kubernetes.stand_in import StandIn, cluster

IN_A_REGISTRY = "registry.example/treeline-train@sha256:" + "0" * 64


@contextmanager
def on_docker(folder: Path) -> Iterator[Place]:
    """A place on the Docker engine."""
    with built_to_train() as image:
        yield Place.of(folder, image, "docker", words=f'wheelhouse = "{wheelhouse(folder)}"')


@contextmanager
def on_podman(folder: Path) -> Iterator[Place]:
    """A place on Podman, with the same image."""
    need_podman("info")
    with built_to_train() as image:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["podman", "load", "--quiet"], stdin=saved.stdout, check=True)
        assert saved.returncode == 0
        try:
            need_podman("run", "--rm", image, "true")
            yield Place.of(folder, image, "podman", words=f'wheelhouse = "{wheelhouse(folder)}"')
        finally:
            subprocess.run(["podman", "rmi", "--force", image], check=False)


@contextmanager
def on_kubernetes(folder: Path) -> Iterator[Place]:
    """A place on the stand-in for a cluster."""
    if reason := need_mounts():
        pytest.skip(reason)
    (folder / "cluster").mkdir()
    with (
        built_to_train() as image,
        cluster(
            folder / "cluster", {IN_A_REGISTRY: image}, {"wheels": wheelhouse(folder)}
        ) as standing,
    ):
        yield on_cluster(folder, standing)


def on_cluster(folder: Path, standing: StandIn) -> Place:
    """Return a place whose jobs are those of a cluster that stands."""
    table = f"""
[kubernetes]
server = "{standing.url}"
token_file = "{standing.token_file}"
ca_file = "{standing.ca_file}"
wheelhouse_claim = "wheels"
start_seconds = 300
"""
    place = Place.of(folder, IN_A_REGISTRY, "kubernetes", table=table)
    place.cluster = standing
    return place


def wheelhouse(folder: Path) -> Path:
    """Write wheels of which one requires what the image has, and one what nobody has."""
    write_wheel(folder / "wheels", "probe", "1.0", "numpy>=2", "probe-base")
    write_wheel(folder / "wheels", "probe-base", "2.0")
    write_wheel(folder / "wheels", "broken", "1.0", "absent-here")
    return folder / "wheels"


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "docker": on_docker,
    "podman": on_podman,
    "kubernetes": on_kubernetes,
}
