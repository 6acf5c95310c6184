"""A checkout with its artifacts → a checked image, pushed where it has a name.

The checkout holds the Dockerfile and model/. An image that was pushed before is checked again
instead of built.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from treeline.contract.signature import Signature
from treeline.delivery import actions
from treeline.deployment import images
from treeline.deployment.acceptance import signatures_of
from treeline.deployment.images import Builder, Recipe

LOCAL_NAME = "treeline"


def ship(folder: Path, *, name: str, builder: Builder) -> str:
    """Build or pull the image of the commit in `folder`, check it, push it; return its full name.

    Without a `name` it stays on this machine. Raises DeploymentError and ArtifactRejectedError.
    """
    signatures = signatures_of(folder)
    image = images.shipped_before(folder) or images.release(folder, name=name or LOCAL_NAME)
    if name and images.exists(image):
        print(f"{image} was shipped before; pulling it", flush=True)
        images.pull(image)
        _check(image, signatures)
        return image
    recipe = Recipe(folder, images.commit_of(folder), images.runtime_of(signatures))
    for platform in builder.platforms if builder.name else ():
        print(f"building {image} for {platform}", flush=True)
        images.build(recipe, image, builder=builder, platform=platform)
        _check(image, signatures, platform=platform)
    if not (builder.name and builder.platforms):
        print(f"building {image}", flush=True)
        images.build(recipe, image, builder=builder)
        _check(image, signatures)
    if name:
        print(f"pushing {image}", flush=True)
        images.publish(recipe, image, builder=builder)
    return image


def _check(image: str, signatures: Sequence[Signature], *, platform: str = "") -> None:
    models = ", ".join(f"{signature.name} {signature.version}" for signature in signatures)
    print(f"checking that it serves {models}", flush=True)
    seconds = images.EMULATED_SECONDS if platform else images.CHECK_SECONDS
    images.check(image, signatures, seconds=seconds, platform=platform)


def ship_release(folder: Path) -> None:
    """Ship a folder to IMAGE, where the environment names one, and hand on the image.

    BUILDER and PLATFORMS, where they are set, say what it is built by and for.
    """
    name = os.environ.get("IMAGE", "").strip()
    image = ship(folder, name=name, builder=Builder.from_settings(os.environ))
    actions.output(image=image)
    if not name:
        actions.notice(
            f"{image} stays on this machine: set IMAGE to registry/owner/name to push it"
        )
