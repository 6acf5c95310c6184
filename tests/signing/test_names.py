"""An image has one full name, however somebody writes it, and is signed under that."""

import pytest

from treeline.agent.distribution import ImageName
from treeline.delivery.releasing import Entry
from treeline.delivery.statements import of_image
from treeline.errors import SigningError
from treeline.signing.names import full_name

DIGEST = "sha256:" + "0" * 64
ENTRY = Entry("c" * 40, {"iris": "1"}, {"iris": "c" * 40})
NAMES = {
    "owner/name": "docker.io/owner/name",
    "docker.io/owner/name": "docker.io/owner/name",
    "index.docker.io/owner/name": "docker.io/owner/name",
    "name": "docker.io/library/name",
    "docker.io/name": "docker.io/library/name",
    "ghcr.io/owner/name": "ghcr.io/owner/name",
    "127.0.0.1:5000/name": "127.0.0.1:5000/name",
    "localhost/name": "localhost/name",
    "registry.example/a/b/c": "registry.example/a/b/c",
}


@pytest.mark.parametrize("tail", ["", ":sha-1", f"@{DIGEST}"])
@pytest.mark.parametrize(("image", "full"), NAMES.items())
def test_a_name_without_a_registry_is_one_of_docker_hub(image: str, full: str, tail: str) -> None:
    assert full_name(image + tail) == full + tail == full_name(full + tail)


@pytest.mark.parametrize(("image", "full"), NAMES.items())
def test_an_image_is_signed_under_the_name_that_an_agent_asks_for(image: str, full: str) -> None:
    statement = of_image(f"{image}@{DIGEST}", ENTRY)
    assert statement.digests == {full: "0" * 64}
    assert ImageName.parse(f"{image}@{DIGEST}").place == full


def test_an_image_whose_digest_is_not_known_cannot_be_signed() -> None:
    with pytest.raises(SigningError, match="its digest is not known"):
        of_image("ghcr.io/owner/name:sha-1", ENTRY)
