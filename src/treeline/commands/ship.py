"""A checkout with its artifacts → a checked image, pushed where it has a name.

The checkout holds the Dockerfile and model/. An image that was pushed before is checked again
instead of built.
"""

import os
from pathlib import Path

from treeline.delivery import actions
from treeline.deployment import images
from treeline.deployment.asking import signatures_of

LOCAL_NAME = "treeline"


def ship(folder: Path, *, name: str) -> str:
    """Build or pull the image of the commit in `folder`, check it, push it; return its full name.

    Without a `name` it stays on this machine. Raises DeploymentError and ArtifactRejectedError.
    """
    signatures = signatures_of(folder)
    image = images.shipped_before(folder) or images.release(folder, name=name or LOCAL_NAME)
    shipped = bool(name) and images.exists(image)
    if shipped:
        print(f"{image} was shipped before; pulling it", flush=True)
        images.pull(image)
    else:
        print(f"building {image}", flush=True)
        runtime = images.runtime_of(signatures)
        images.build(folder, image, revision=images.commit_of(folder), runtime=runtime)
    models = ", ".join(f"{signature.name} {signature.version}" for signature in signatures)
    print(f"checking that it serves {models}", flush=True)
    images.check(image, signatures)
    if name and not shipped:
        print(f"pushing {image}", flush=True)
        images.push(image)
    return image


def ship_release(folder: Path) -> None:
    """Ship a folder to IMAGE, where the environment names one, and hand on the image."""
    name = os.environ.get("IMAGE", "").strip()
    image = ship(folder, name=name)
    actions.output(image=image)
    if not name:
        actions.notice(
            f"{image} stays on this machine: set IMAGE to registry/owner/name to push it"
        )
