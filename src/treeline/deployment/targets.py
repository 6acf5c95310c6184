"""Where images are put in service: a small protocol, and the table of those who speak it.

To add one: a class with these methods in a module of its own, and one line in TARGETS.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol, Self

from treeline.errors import DeploymentError
from treeline.registry import resolve

TARGETS = {
    "koyeb": "treeline.deployment.koyeb:KoyebService",
    "kubernetes": "treeline.deployment.kubernetes:KubernetesDeployment",
    "webhook": "treeline.deployment.webhook:Webhook",
}
CHOICE = "DEPLOY_TO"  # in the environment
DEFAULT = "koyeb"


class Target(Protocol):
    """A service somewhere that runs one image; every method raises DeploymentError.

    `REQUIRED` are the settings without which there is no such service.
    """

    REQUIRED: ClassVar[tuple[str, ...]]

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Return the service that these settings name."""
        ...

    def running_image(self) -> str | None:
        """Return the image that is served now, or None where that cannot be known."""
        ...

    def deploy(self, image: str) -> str:
        """Have the service run an image, and return the id of that deployment."""
        ...

    def wait_until_healthy(self, deployment: str, *, seconds: float, pause: float) -> None:
        """Return when a deployment is healthy; raise when it has failed, or after `seconds`."""
        ...


def chosen(settings: Mapping[str, str]) -> tuple[str, type[Target]]:
    """Return the name and the class of the target that is chosen; raises UnknownNameError."""
    name = settings.get(CHOICE, "").strip() or DEFAULT
    return name, resolve(TARGETS, name, place=CHOICE)


def lacking(target: type[Target], settings: Mapping[str, str]) -> list[str]:
    """Return the settings that a target needs and that are not set."""
    return [name for name in target.REQUIRED if not settings.get(name, "").strip()]


def seconds_of(settings: Mapping[str, str], name: str, default: float) -> float:
    """Return a number of seconds; raises DeploymentError where it is none."""
    text = settings.get(name, "").strip()
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise DeploymentError(f"{name}: {text!r} is no number of seconds; give e.g. 600")
    return seconds
