"""The shipped image of a checkout, by its digest → in service, and a record of it.

Environment: IMAGE, where it was shipped to; DEPLOY_TO, the kind of target (koyeb, kubernetes or
webhook) and its own settings; and, where wanted, ENDPOINT_URL, where that service answers;
DEPLOY_SECONDS, how long it may take to become healthy. `IMAGE:latest` is always the last good one.
"""

import os
from pathlib import Path

from treeline.contract.signature import Signature
from treeline.delivery import actions, statements
from treeline.delivery.releasing import Entry
from treeline.deployment import images, records, targets
from treeline.deployment.acceptance import signatures_of
from treeline.deployment.deploying import Endpoint, Limits, deploy
from treeline.deployment.records import Place
from treeline.errors import DeploymentError


def deploy_release(folder: Path) -> None:
    """Deploy the image of the checkout that was shipped; raises DeploymentError and SigningError.

    What comes of it is recorded, where the checkout is a release, and signed where that is set up.
    """
    if not (name := _setting("IMAGE")):
        actions.notice(
            "IMAGE is not set, so nothing was deployed: set it to registry/owner/name, ship first"
        )
        return
    image, latest = _image(folder, name), f"{name}:latest"
    kind, target = targets.chosen(os.environ)
    lacking = targets.lacking(target, os.environ)
    place = Place("" if lacking else kind, _setting("ENDPOINT_URL"))
    images.pull(image)
    entry = images.entry_of(folder)
    statement = _statement(image, entry)
    try:
        outcome = _deployed(image, folder, latest, None if lacking else target)
    except DeploymentError as error:
        actions.summarise(f"## Not deployed\n\n{error}\n")
        if entry is not None:
            records.record(entry, image, place, failure=str(error))
        raise
    if lacking:
        actions.notice(f"nothing was put in service on {kind}: {' and '.join(lacking)} not set")
    images.publish_as(image, latest, builder=images.Builder.from_settings(os.environ))
    if entry is not None:  # the deployment of any other checkout is nobody's
        records.record(entry, image, place, statement=statement)
    outcome += f" `{latest}` is this image now."
    actions.summarise(f"## Deployed\n\n{outcome}\n")
    print(outcome)


def _image(folder: Path, name: str) -> str:
    """Return the image to deploy, by its digest; raises DeploymentError where there is none.

    What the registry has under the tag of the commit may be from anybody who can write there.
    """
    image = images.shipped(folder, name=name)
    if image is None:
        raise DeploymentError(
            f"{folder}: was not shipped to {name} from here, so the digest of its image is not "
            "known; ship it there first: make ship"
        )
    if reason := images.absence(image):
        raise DeploymentError(
            f"{image}: not to be had from its registry; ship {folder} there first: make ship "
            f"({reason})"
        )
    return image


def _deployed(image: str, folder: Path, latest: str, target: type[targets.Target] | None) -> str:
    """Put the image in service, where there is one, and say what happened."""
    if target is None:
        return f"`{image}` was published and is in service nowhere."
    signatures: list[Signature] = signatures_of(folder)
    url = _setting("ENDPOINT_URL")
    if not url:
        actions.notice(
            "ENDPOINT_URL is not set, so the deployed endpoint was not asked for predictions"
        )
    endpoint = Endpoint(url, signatures) if url else None
    limits = _limits()
    fallback = latest if images.exists(latest) else None
    service = target.from_settings(os.environ)
    former = deploy(service, image, fallback=fallback, endpoint=endpoint, limits=limits)
    checked = f"answered the examples of {len(signatures)} model(s)" if url else "was not asked"
    return (
        f"`{image}` is in service, where `{former or 'nothing known'}` was; its endpoint {checked}."
    )


def _statement(image: str, entry: Entry | None) -> str:
    """Return the signed statement of an image, empty where nobody signs; raises SigningError."""
    if entry is None or not statements.is_set_up():
        return ""
    return statements.signed(statements.of_image(image, entry), workflow=statements.DEPLOYING)


def _limits() -> Limits:
    seconds = targets.seconds_of(os.environ, "DEPLOY_SECONDS", Limits.healthy_seconds)
    return Limits(
        healthy_seconds=seconds,
        served_seconds=min(seconds, Limits.served_seconds),
        pause_seconds=min(seconds / 100, Limits.pause_seconds),
    )


def _setting(name: str) -> str:
    """Return an environment variable; an empty one is as good as none."""
    return os.environ.get(name, "").strip()
