"""A release and its models → build/release, from which an image is built; whether one is due.

The folder is a clone of its own at the commit of the release, with exactly the models of it. They
are pulled from the shared remote, unless the registry has the image already by its digest.
"""

import os
import shutil
from pathlib import Path

from treeline.config import Layout
from treeline.delivery import actions, releasing, repository, storage
from treeline.delivery.processes import run
from treeline.delivery.releasing import Entry
from treeline.deployment import images, records
from treeline.errors import DeliveryError, StorageError
from treeline.files import write_json, write_text
from treeline.signing import STATEMENT_FILE

FOLDER = images.RELEASE
MODELS = "model"


def pending(version: str, *, unlisted: bool) -> str:
    """Return, and hand on, the commit that is to be deployed now: an empty one for none.

    It asks git alone, so that nobody has to approve what then has nothing to do.
    """
    if not os.environ.get("IMAGE", "").strip():
        decision = records.Decision(None, "IMAGE is not set: there is nothing to deploy.")
    else:
        decision = records.pending(version, unlisted=unlisted)
    actions.notice(decision.reason)
    commit = decision.entry.commit if decision.entry else ""
    actions.output(commit=commit)
    return commit


def prepare_release(version: str, *, unlisted: bool) -> str:
    """Prepare the folder and return the commit; hand on an empty one when none is released.

    `version` names another release than the last one, or, where a person says `unlisted`, any
    commit at all.
    """
    if not version and releasing.last() is None:
        actions.notice("Nothing is released yet, so there is nothing to deploy.")
        actions.output(commit="")
        return ""
    entry = releasing.chosen(version, unlisted=unlisted)
    _clone(entry)
    before = records.by_digest(entry)
    (FOLDER / images.SHIPPED).unlink(missing_ok=True)  # a commit may hold a file of that name
    if before and images.exists(before.image):
        actions.notice(f"{before.image} was deployed before: nothing is pulled or built.")
        images.note_shipped(FOLDER, before.image)
    else:
        _pull(entry)
    actions.output(commit=entry.commit)
    return entry.commit


def _clone(entry: Entry) -> None:
    """Make the folder: the code of the commit, of each model the contract that was released."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(exist_ok=True)
    run("git", "clone", "--quiet", "--shared", "--no-checkout", ".", str(FOLDER))
    run("git", "checkout", "--quiet", "--detach", entry.commit, cwd=FOLDER)
    for path in FOLDER.glob("model/*/signature.json"):
        if path.parent.name not in entry.models:
            shutil.rmtree(path.parent)
    for name, commit in entry.passed.items():
        signature = Layout(name).signature
        text = repository.shown(commit, signature)
        if text is None:
            raise DeliveryError(f"{commit[:12]}: has no {signature}, though it was released")
        write_text(FOLDER / signature, text)
    write_json(FOLDER / images.ENTRY, entry.to_dict())
    if statement := releasing.statement_of(entry):
        write_text(FOLDER / MODELS / STATEMENT_FILE, statement)


def _pull(entry: Entry) -> None:
    """Fetch the artifacts of a release into the folder; raises StorageError."""
    if storage.shared() is None:
        raise StorageError(
            f"{entry.commit[:12]}: there is no shared remote to pull its models from, and no image "
            "of it that was deployed before"
        )
    if Path(".dvc/config.local").exists():
        shutil.copyfile(".dvc/config.local", FOLDER / ".dvc" / "config.local")
    here = [name for name, commit in entry.passed.items() if commit == entry.commit]
    if here:
        targets = [str(Layout(name).artifact) for name in here]
        run("dvc", "pull", *targets, cwd=FOLDER, error=StorageError)
    for name in sorted(set(entry.models) - set(here)):
        artifact = str(Layout(name).artifact)
        command = ("dvc", "get", "--quiet", "--force", "--rev", entry.passed[name])
        run(*command, "--out", str(FOLDER / artifact), ".", artifact, error=StorageError)
