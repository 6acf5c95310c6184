"""The shipped image of a checkout → in service.

Environment: IMAGE, where it was shipped to; KOYEB_TOKEN and KOYEB_SERVICE, the id of the service
that should run it; and, where wanted, ENDPOINT_URL, where that service answers; KOYEB_API, another
address of Koyeb's API; DEPLOY_SECONDS, how long it may take to become healthy. `IMAGE:latest` is
always the last good one.
"""

import os
from pathlib import Path

from treeline.contract.signature import Signature
from treeline.delivery import actions
from treeline.deployment import images
from treeline.deployment.asking import signatures_of
from treeline.deployment.deploying import Endpoint, Limits, deploy
from treeline.deployment.koyeb import API, KoyebService
from treeline.errors import DeploymentError


def deploy_release(folder: Path) -> None:
    """Deploy the image of the checkout that was shipped; raises DeploymentError."""
    if not (name := _setting("IMAGE")):
        actions.notice(
            "IMAGE is not set, so nothing was deployed: set it to registry/owner/name, ship first"
        )
        return
    image, latest = images.release(folder, name=name), f"{name}:latest"
    if reason := images.absence(image):
        raise DeploymentError(
            f"{image}: not to be had from its registry; ship {folder} there first: make ship "
            f"({reason})"
        )
    try:
        outcome = _deployed(image, latest=latest, signatures=signatures_of(folder))
    except DeploymentError as error:
        actions.summarise(f"## Not deployed\n\n{error}\n")
        raise
    images.pull(image)
    images.tag(image, latest)
    images.push(latest)
    outcome += f" `{latest}` is this image now."
    actions.summarise(f"## Deployed\n\n{outcome}\n")
    print(outcome)


def _deployed(image: str, *, latest: str, signatures: list[Signature]) -> str:
    """Put the image in service, where there is one, and say what happened."""
    if (service := _service()) is None:
        return f"`{image}` was published and is in service nowhere."
    fallback = latest if images.exists(latest) else None
    url = _setting("ENDPOINT_URL")
    if not url:
        actions.notice(
            "ENDPOINT_URL is not set, so the deployed endpoint was not asked for predictions"
        )
    endpoint = Endpoint(url, signatures) if url else None
    former = deploy(service, image, fallback=fallback, endpoint=endpoint, limits=_limits())
    asked = f"answered the examples of {len(signatures)} model(s)" if url else "was not asked"
    return (
        f"`{image}` is in service, where `{former or 'nothing known'}` was; its endpoint {asked}."
    )


def _service() -> KoyebService | None:
    settings = {name: _setting(name) for name in ("KOYEB_TOKEN", "KOYEB_SERVICE")}
    if lacking := [name for name, value in settings.items() if not value]:
        actions.notice(f"nothing was put in service on Koyeb: {' and '.join(lacking)} not set")
        return None
    return KoyebService(
        settings["KOYEB_SERVICE"],
        token=settings["KOYEB_TOKEN"],
        api=_setting("KOYEB_API") or API,
    )


def _limits() -> Limits:
    given = _setting("DEPLOY_SECONDS")
    try:
        seconds = float(given) if given else Limits.healthy_seconds
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise DeploymentError(f"DEPLOY_SECONDS: {given!r} is no number of seconds; give e.g. 600")
    return Limits(
        healthy_seconds=seconds,
        served_seconds=min(seconds, Limits.served_seconds),
        pause_seconds=min(seconds / 100, Limits.pause_seconds),
    )


def _setting(name: str) -> str:
    """Return an environment variable; an empty one is as good as none."""
    return os.environ.get(name, "").strip()
