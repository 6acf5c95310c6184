"""The images that all tests of the agent share; they are made once."""

from collections.abc import Iterator

import pytest

from tests.agent.homes import Images, images
from tests.balancing import need_haproxy
from tests.images import need_docker, need_registry

BEHAVIOURS = {
    "first": "well", "second": "well", "third": "well",
    "unready": "unready", "ends": "ends", "tires": "tires",
}  # fmt: skip


@pytest.fixture(scope="session")
def shared_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    need_haproxy()
    need_docker()
    need_registry()
    with images(tmp_path_factory.mktemp("images"), BEHAVIOURS) as built:
        yield built
