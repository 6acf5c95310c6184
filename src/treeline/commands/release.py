"""A released commit and its models → build/release.

The folder is a clone of its own at that commit, with the artifacts it serves pulled from the shared
remote: what an image is built from.
"""

import os
import shutil
from pathlib import Path

from treeline.delivery import actions, releasing, storage
from treeline.delivery.processes import run
from treeline.deployment import images
from treeline.errors import DeliveryError

FOLDER = Path("build/release")


def prepare_release(version: str) -> str:
    """Prepare the folder and return the commit; hand on an empty one when none is released.

    `version` names another commit than the released one: a commit, a tag, or the version of a
    model.
    """
    remote = storage.shared()
    if not version and (remote is None or releasing.released() is None):
        actions.notice("Nothing is released yet, so there is nothing to deploy.")
        actions.output(commit="")
        return ""
    if remote is None:
        raise DeliveryError(f"{version}: there is no shared remote to pull its models from")
    commit = releasing.chosen(version)
    if not version and _is_shipped(commit):
        actions.notice(f"{commit[:12]} is released, and its image is in the registry already.")
        actions.output(commit="")
        return ""
    _prepare(commit)
    actions.output(commit=commit)
    return commit


def _is_shipped(commit: str) -> bool:
    """Tell whether a run that only follows another has nothing to do."""
    follows = os.environ.get("GITHUB_EVENT_NAME") == "workflow_run"
    image = os.environ.get("IMAGE")
    return bool(follows and image and images.exists(images.tagged(image, commit)))


def _prepare(commit: str) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(exist_ok=True)
    run("git", "clone", "--quiet", "--shared", "--no-checkout", ".", str(FOLDER))
    run("git", "checkout", "--quiet", "--detach", commit, cwd=FOLDER)
    if Path(".dvc/config.local").exists():
        shutil.copyfile(".dvc/config.local", FOLDER / ".dvc" / "config.local")
    signatures = sorted(FOLDER.glob("model/*/signature.json"))
    artifacts = [str(path.parent.relative_to(FOLDER) / "artifact") for path in signatures]
    run("dvc", "pull", *artifacts, cwd=FOLDER)
