"""A hosted service and an image → the image in service and asked, or the former one back."""

from collections.abc import Sequence
from dataclasses import dataclass

from treeline.contract.signature import Signature
from treeline.deployment.acceptance import wait_until_served
from treeline.deployment.targets import Target
from treeline.errors import DeploymentError


@dataclass(frozen=True)
class Endpoint:
    """Where the deployed service answers, and the signatures it should serve there."""

    url: str
    signatures: Sequence[Signature]


@dataclass(frozen=True)
class Limits:
    """How long to wait for what, and how long between two looks."""

    healthy_seconds: float = 600.0  # the host pulls the image and starts it
    served_seconds: float = 120.0  # a healthy deployment takes over from the former one
    pause_seconds: float = 5.0


def deploy(
    service: Target,
    image: str,
    *,
    fallback: str | None,
    endpoint: Endpoint | None,
    limits: Limits,
) -> str | None:
    """Deploy an image, wait until it is healthy, ask its endpoint; return what ran before.

    What ran before is what the service says, or else `fallback`. When anything fails, that image
    is deployed again, if it is another one. Raises DeploymentError saying what failed and what
    became of the former image.
    """
    former = service.running_image() or fallback
    try:
        _put(service, image, limits=limits)
        if endpoint is not None:
            wait_until_served(
                endpoint.url,
                endpoint.signatures,
                seconds=limits.served_seconds,
                pause=limits.pause_seconds,
            )
    except DeploymentError as error:
        outcome = _put_back(service, former, instead_of=image, limits=limits)
        raise DeploymentError(f"{image} is not in service: {error}\n{outcome}") from error
    return former


def _put(service: Target, image: str, *, limits: Limits) -> None:
    """Deploy an image and wait until it is healthy; raises DeploymentError."""
    print(f"deploying {image}", flush=True)
    deployment = service.deploy(image)
    service.wait_until_healthy(
        deployment, seconds=limits.healthy_seconds, pause=limits.pause_seconds
    )


def _put_back(service: Target, former: str | None, *, instead_of: str, limits: Limits) -> str:
    """Roll back to the former image and say what came of it."""
    if former is None:
        return "Nothing is known to have run before, so nothing was rolled back."
    if former == instead_of:
        return "The same image ran before, so there is nothing to roll back to."
    try:
        _put(service, former, limits=limits)
    except DeploymentError as error:
        return f"{former} could not be put back: {error}"
    return f"{former} is back and healthy."
