"""An image that is not there, as each registry says it."""

import json

import pytest

from tests.github.registries import GHCR, HUB, HUB_TOKENS, answer

PATH = "/v2/acme/toy/manifests/sha-1"


@pytest.mark.parametrize(
    ("host", "pushed", "authorized", "status", "code"),
    [
        (GHCR, ("acme/toy",), True, 404, "MANIFEST_UNKNOWN"),
        (GHCR, (), True, 404, "NAME_UNKNOWN"),
        (GHCR, (), False, 401, "UNAUTHORIZED"),
        (HUB, ("acme/toy",), True, 404, "MANIFEST_UNKNOWN"),
        (HUB, (), True, 401, "UNAUTHORIZED"),
        (HUB, (), False, 401, "UNAUTHORIZED"),
    ],
)
def test_the_code_depends_on_who_asks_and_what_was_ever_pushed(
    host: str, pushed: tuple[str, ...], authorized: bool, status: int, code: str
) -> None:
    given = answer(host, PATH, authorized=authorized, pushed=frozenset(pushed))
    assert given.status == status
    assert json.loads(given.body)["errors"][0]["code"] == code
    assert bool(given.headers) == (not authorized)


def test_an_anonymous_token_of_ghcr_is_denied_and_the_hub_gives_one() -> None:
    nothing = frozenset[str]()
    assert answer(GHCR, "/token", authorized=False, pushed=nothing).status == 403
    assert answer(HUB_TOKENS, "/token", authorized=False, pushed=nothing).status == 200
