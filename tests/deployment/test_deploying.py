"""Deploying: the new image in service, or the former one back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.koyeb import SERVICE, TOKEN, Koyeb, scripted
from tests.serving import serving
from tests.tiny_models import IRIS, write_model
from treeline.deployment.deploying import Endpoint, Limits, deploy
from treeline.deployment.koyeb import KoyebService
from treeline.errors import DeploymentError

OLD, NEW = "registry.example/treeline:sha-1", "registry.example/treeline:sha-2"
LATEST = "registry.example/treeline:latest"
LIMITS = Limits(healthy_seconds=20, served_seconds=0.5, pause_seconds=0.02)
NEWER_IRIS = replace(IRIS, weights={"petal length (cm)": 0.7})


@pytest.fixture
def koyeb() -> Iterator[Koyeb]:
    with scripted() as stand_in:
        yield stand_in


def client(koyeb: Koyeb) -> KoyebService:
    return KoyebService(SERVICE, token=TOKEN, api=koyeb.url, first_pause_seconds=0.001)


def put(koyeb: Koyeb, *, fallback: str | None = None, endpoint: Endpoint | None = None) -> None:
    deploy(client(koyeb), NEW, fallback=fallback, endpoint=endpoint, limits=LIMITS)


def test_a_healthy_image_replaces_the_former(koyeb: Koyeb) -> None:
    koyeb.ran_before(OLD)
    former = deploy(client(koyeb), NEW, fallback=LATEST, endpoint=None, limits=LIMITS)
    assert former == OLD
    assert koyeb.images() == [OLD, NEW]
    assert client(koyeb).running_image() == NEW


def test_an_unhealthy_image_is_rolled_back(koyeb: Koyeb) -> None:
    koyeb.ran_before(OLD, name="api")
    koyeb.scripts[NEW] = ("STARTING", "UNHEALTHY")
    with pytest.raises(DeploymentError) as caught:
        put(koyeb)
    assert f"{NEW} is not in service: Koyeb: deployment" in str(caught.value)
    assert "ended as UNHEALTHY" in str(caught.value)
    assert str(caught.value).endswith(f"{OLD} is back and healthy.")
    assert koyeb.images() == [OLD, NEW, OLD]
    assert koyeb.latest is not None
    assert koyeb.latest.definition["name"] == "api"


def test_where_koyeb_does_not_say_what_ran_the_last_good_image_is_put_back(koyeb: Koyeb) -> None:
    koyeb.scripts[NEW] = ("ERROR",)
    with pytest.raises(DeploymentError, match="latest is back"):
        put(koyeb, fallback=LATEST)
    assert koyeb.images() == [NEW, LATEST]


def test_where_nothing_ran_before_nothing_is_rolled_back(koyeb: Koyeb) -> None:
    koyeb.scripts[NEW] = ("ERROR",)
    with pytest.raises(DeploymentError, match="nothing was rolled back"):
        put(koyeb)
    assert koyeb.images() == [NEW]


def test_an_image_is_not_replaced_by_itself(koyeb: Koyeb) -> None:
    koyeb.ran_before(NEW)
    koyeb.scripts[NEW] = ("ERROR",)
    with pytest.raises(DeploymentError, match="nothing to roll back to"):
        put(koyeb)
    assert koyeb.images() == [NEW, NEW]


def test_a_roll_back_that_fails_too_is_told(koyeb: Koyeb) -> None:
    koyeb.ran_before(OLD)
    koyeb.scripts |= {NEW: ("ERROR",), OLD: ("DEGRADED",)}
    with pytest.raises(DeploymentError, match=r"(?s)as ERROR\n.* not be put back: .*as DEGRADED"):
        put(koyeb)


def test_an_endpoint_that_goes_on_serving_the_old_version_is_rolled_back(
    koyeb: Koyeb, tmp_path: Path
) -> None:
    koyeb.ran_before(OLD)
    old = write_model(tmp_path / "old", IRIS)
    new = write_model(tmp_path / "new", NEWER_IRIS)
    with (
        serving(tmp_path / "old", tmp_path / "log") as service,
        pytest.raises(DeploymentError) as caught,
    ):
        put(koyeb, endpoint=Endpoint(service.url, [new]))
    assert f"iris: served is {old.version}, expected is {new.version}" in str(caught.value)
    assert koyeb.images() == [OLD, NEW, OLD]


def test_no_message_holds_the_token(koyeb: Koyeb, capsys: pytest.CaptureFixture[str]) -> None:
    koyeb.scripts[NEW] = ("ERROR",)
    with pytest.raises(DeploymentError) as caught:
        put(koyeb)
    assert TOKEN not in str(caught.value) + "".join(capsys.readouterr())
