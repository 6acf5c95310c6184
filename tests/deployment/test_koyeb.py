"""The client of Koyeb's API against a stand-in that speaks it."""

from collections.abc import Iterator

import pytest

from tests.koyeb import SERVICE, TOKEN, Koyeb, scripted
from tests.serving import free_port
from treeline.deployment.koyeb import FAILED, KoyebService
from treeline.errors import DeploymentError

OLD, NEW = "registry.example/treeline:sha-1", "registry.example/treeline:sha-2"


@pytest.fixture
def koyeb() -> Iterator[Koyeb]:
    with scripted() as stand_in:
        yield stand_in


def client(koyeb: Koyeb, *, token: str = TOKEN, service: str = SERVICE) -> KoyebService:
    return KoyebService(service, token=token, api=koyeb.url, first_pause_seconds=0.001)


def test_the_running_image_is_that_of_the_active_deployment(koyeb: Koyeb) -> None:
    koyeb.ran_before(OLD)
    koyeb.deploy({"docker": {"image": NEW}})
    assert client(koyeb).running_image() == OLD


def test_a_service_that_was_never_deployed_runs_no_image(koyeb: Koyeb) -> None:
    assert client(koyeb).running_image() is None


def test_a_deployment_keeps_all_of_the_definition_but_its_image(koyeb: Koyeb) -> None:
    koyeb.ran_before(OLD, name="api", ports=[{"port": 8000}], docker={"image_registry_secret": "s"})
    deployment = client(koyeb).deploy(NEW)
    assert koyeb.deployments[deployment].definition == {
        "name": "api",
        "ports": [{"port": 8000}],
        "docker": {"image": NEW, "image_registry_secret": "s"},
    }


def test_the_first_deployment_is_defined_by_its_image_alone(koyeb: Koyeb) -> None:
    deployment = client(koyeb).deploy(NEW)
    assert koyeb.deployments[deployment].definition == {"docker": {"image": NEW}}


def test_a_deployment_is_waited_for_and_its_statuses_are_shown(
    koyeb: Koyeb, capsys: pytest.CaptureFixture[str]
) -> None:
    koyeb.scripts[NEW] = ("PENDING", "STARTING", "STARTING", "STARTING", "HEALTHY")
    service = client(koyeb)
    service.wait_until_healthy(service.deploy(NEW), seconds=10, pause=0.001)
    shown = [line.split(": ")[-1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["PENDING", "STARTING", "HEALTHY"]
    assert service.running_image() == NEW


@pytest.mark.parametrize("status", sorted(FAILED))
def test_a_failed_deployment_is_told_at_once(koyeb: Koyeb, status: str) -> None:
    koyeb.scripts[NEW] = ("PENDING", status)
    service = client(koyeb)
    with pytest.raises(DeploymentError, match=f"ended as {status}$"):
        service.wait_until_healthy(service.deploy(NEW), seconds=600, pause=0.001)


def test_a_deployment_that_takes_too_long_is_told(koyeb: Koyeb) -> None:
    koyeb.scripts[NEW] = ("STARTING",)
    service = client(koyeb)
    with pytest.raises(DeploymentError, match=r"still STARTING after 0\.02 seconds"):
        service.wait_until_healthy(service.deploy(NEW), seconds=0.02, pause=0.005)


@pytest.mark.parametrize("trouble", [429, 500, 503])
def test_a_trouble_that_passes_is_outlasted(koyeb: Koyeb, trouble: int) -> None:
    koyeb.ran_before(OLD)
    koyeb.troubles = [trouble, trouble, trouble]
    assert client(koyeb).running_image() == OLD


def test_a_trouble_that_stays_is_told(koyeb: Koyeb) -> None:
    koyeb.troubles = [503] * 100
    with pytest.raises(DeploymentError, match=r"answered 503 .*come again"):
        client(koyeb).running_image()
    assert len(koyeb.requests) == 4


def test_what_is_refused_is_not_asked_again(koyeb: Koyeb) -> None:
    with pytest.raises(DeploymentError, match=r"answered 404 .*KOYEB_SERVICE"):
        client(koyeb, service="another").running_image()
    assert koyeb.requests == ["GET /v1/services/another"]


@pytest.mark.parametrize("token", ["not-the-token", "not-the\ntoken"])
def test_no_message_holds_the_token(koyeb: Koyeb, token: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        client(koyeb, token=token).running_image()
    assert "not-the" not in str(caught.value)


def test_a_wrong_token_is_told(koyeb: Koyeb) -> None:
    with pytest.raises(DeploymentError, match=r"answered 401 .*KOYEB_TOKEN"):
        client(koyeb, token="another").running_image()


def test_an_api_that_cannot_be_reached_is_told() -> None:
    api = f"http://127.0.0.1:{free_port()}"
    service = KoyebService(SERVICE, token=TOKEN, api=api, first_pause_seconds=0.001)
    with pytest.raises(DeploymentError, match=r"cannot be reached: .*refused") as caught:
        service.running_image()
    assert TOKEN not in str(caught.value)
