"""`python -m treeline.commands.ship [FOLDER]`: a checkout with its artifacts → a checked image.

FOLDER, `build/release` by default, holds the Dockerfile and model/. The image is pushed to IMAGE
where the environment names one; one that was pushed before is checked again instead of built.
"""

import os
import sys
from pathlib import Path

from treeline.delivery import actions
from treeline.deployment import images
from treeline.deployment.asking import signatures_of
from treeline.errors import TreelineError

FOLDER = Path("build/release")
LOCAL_NAME = "treeline"


def ship(folder: Path, *, name: str) -> str:
    """Build or pull the image of the commit in `folder`, check it, push it; return its full name.

    Without a `name` it stays on this machine. Raises DeploymentError and ArtifactRejectedError.
    """
    signatures = signatures_of(folder)
    image = images.release(folder, name=name or LOCAL_NAME)
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


def main(arguments: list[str]) -> None:
    """Ship the folder named on the command line."""
    if len(arguments) > 1:
        sys.exit("usage: python -m treeline.commands.ship [FOLDER]")
    name = os.environ.get("IMAGE", "").strip()
    image = ship(Path(arguments[0]) if arguments else FOLDER, name=name)
    actions.output(image=image)
    if not name:
        actions.notice(
            f"{image} stays on this machine: set IMAGE to registry/owner/name to push it"
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TreelineError as error:
        sys.exit(str(error))
