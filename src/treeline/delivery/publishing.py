"""Trained models → DVC's remote, then a commit on the branch, then the release. In that order.

A commit never points to data that are not in the remote. When somebody has pushed meanwhile, the
commit is put on top of theirs, unless they changed what is trained from: then their own run trains,
and this one leaves everything as it is.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from treeline.config import layout
from treeline.delivery import releasing, repository, storage
from treeline.errors import PublishingError

TRIES = 5  # pushes that may lose a race, one after the other
# What models are made from. dvc.lock is not among it: it is written by training.
INPUTS = (
    "dvc.yaml",
    "params.yaml",
    "requirements/train.txt",
    "src/own",
    "src/treeline",
    "dataset/sources",
)
PROTECTED = ("GH006", "GH013", "protected branch")  # how the forge says that a rule forbids it


@dataclass(frozen=True)
class Published:
    """What became of the trained models.

    `commit` is the commit that holds them, None when nothing was written; `changed` says whether
    it is new; `released` whether it is to be deployed; `note` says in words what else there is.
    """

    commit: str | None = None
    changed: bool = False
    released: bool = False
    note: str = ""

    def plain(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def publish(*, reason: str) -> Published:
    """Store, commit and push what training changed; see the module for the order.

    Raises StorageError when the remote cannot be reached or lacks something afterwards, and
    PublishingError when git refuses; main is as it was then.
    """
    if storage.shared() is None:
        return Published(
            note="There is no shared remote, so nothing was stored and nothing written back to "
            "git. docs/workflows.md tells how to set one."
        )
    storage.push()
    tested = os.environ.get("GITHUB_SHA") or repository.resolved("HEAD") or ""
    files = repository.staged(*releasing.OUTPUTS)
    if files:
        repository.commit(message_of(files, reason=reason))
    return _pushed(tested, changed=bool(files))


def _pushed(tested: str, *, changed: bool) -> Published:
    branch = repository.branch()
    for _ in range(TRIES):
        head = repository.resolved("HEAD") or ""
        held = _held_back(head, tested=tested, branch=branch)
        refspecs = [f"HEAD:refs/heads/{branch}"] if changed else []
        refspecs += [] if held else [f"{releasing.entered(head)}:refs/heads/{releasing.RELEASED}"]
        complaint = repository.push(*refspecs) if refspecs else None
        if complaint is None:
            return Published(head, changed=changed, released=not held, note=held)
        tip = _moved(branch, complaint)
        if repository.differ(tested, tip, *INPUTS):
            return Published(
                note=f"Meanwhile {tip[:12]} changed what is trained from. Its own run trains; "
                "nothing was written back here."
            )
        repository.rebase(tip)
        changed = repository.resolved("HEAD") != tip
    raise PublishingError(f"{branch} moved on during each of {TRIES} pushes; run it again")


def _held_back(head: str, *, tested: str, branch: str) -> str:
    """Return why a commit is not to be deployed now; nothing when it is."""
    if branch != releasing.MAIN:
        return f"Nothing is deployed from {branch}, only from {releasing.MAIN}."
    if not releasing.releasable(head, tested=tested):
        return f"{branch} moved on meanwhile; the run of what was pushed there deploys."
    if not releasing.ships_anew(head):
        return "An image would hold what the released one holds: there is nothing to deploy."
    return ""


def _moved(branch: str, complaint: str) -> str:
    """Return the new tip of the branch; raises PublishingError when that is not why git refused."""
    if any(word in complaint for word in PROTECTED):
        raise PublishingError(
            f"{branch} is protected, and the run's token may not push to it; the models are in the "
            "remote, git is as it was. docs/workflows.md, `Protected branches`, has two ways out.\n"
            + complaint
        )
    tip = repository.fetch(branch)
    if repository.is_ancestor(tip, "HEAD"):
        raise PublishingError(f"git push to {branch} was refused:\n{complaint}")
    return tip


def message_of(files: list[str], *, reason: str) -> str:
    """Return the message of the commit: which models, why, and in which run."""
    models = sorted({name for file in files if (name := _model_of(Path(file))) is not None})
    skip = " [skip ci]" if os.environ.get("GITHUB_ACTIONS") else ""  # its run is this one
    lines = [f"Train {', '.join(models) or 'again'}{skip}", ""]
    lines += [f"Reason: {' '.join(reason.split())}"] if reason.strip() else []
    if run := os.environ.get("GITHUB_RUN_ID"):
        lines.append(f"Run: {run}")
    return "\n".join(lines).strip()


def _model_of(file: Path) -> str | None:
    """Return the model that a file was written for; None where it is no single model's."""
    folder = layout.INPUTS if file.is_relative_to(layout.INPUTS) else Path(file.parts[0])
    inside = file.relative_to(folder).parts
    return inside[0] if len(inside) > 1 and file.parts[0] in {"dataset", "model"} else None
