"""A checkout with its artifacts → a checked image, pushed where it has a name.

The checkout holds the Dockerfile and model/. What was pushed is noted there by its digest, and
exactly that is deployed and signed. An image that is noted already is checked again instead of
built; one that only has the right tag in the registry may be anybody's.
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
    """Build or pull the image of the commit in `folder`, check it, push it; return its name.

    That has a digest; without a `name` the image stays on this machine, under a tag. Raises
    DeploymentError and ArtifactRejectedError.
    """
    signatures = signatures_of(folder)
    before = images.shipped(folder, name=name) if name else None
    if before and images.exists(before):
        print(f"{before} was shipped before; pulling it", flush=True)
        images.pull(before)
        _check(before, signatures)
        return before
    image = images.release(folder, name=name or LOCAL_NAME)
    recipe = Recipe(folder, images.commit_of(folder), images.runtime_of(signatures))
    for platform in builder.platforms if builder.name else ():
        print(f"building {image} for {platform}", flush=True)
        images.build(recipe, image, builder=builder, platform=platform)
        _check(image, signatures, platform=platform)
    if not (builder.name and builder.platforms):
        print(f"building {image}", flush=True)
        images.build(recipe, image, builder=builder)
        _check(image, signatures)
    if not name:
        return image
    print(f"pushing {image}", flush=True)
    pushed = images.publish(recipe, image, builder=builder)
    images.note_shipped(folder, pushed, pushed_as=image)
    return pushed


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
