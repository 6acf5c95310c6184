"""Trained models → DVC's remote, then a commit on the branch, then the release. In that order.

A commit never points to data that are not in the remote. A model that was refused or failed is left
as git has it, and keeps no other from being published. When somebody has pushed meanwhile, the
commit is put on top of theirs, unless they changed what is trained from: then their own run trains,
and this one leaves everything as it is.
"""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from treeline.config import layout, read_params
from treeline.delivery import (
    artifacts,
    locking,
    notes,
    refusals,
    releasing,
    repository,
    statements,
    storage,
)
from treeline.delivery.notes import Published
from treeline.delivery.pipeline import changed_stages
from treeline.delivery.refusals import CONTEST, GATE, Refusal
from treeline.errors import PublishingError

TRIES = 5  # pushes that may lose a race, one after the other
# What models are made from. dvc.lock is not among it: it is written by training.
INPUTS = (
    "dvc.yaml",
    "params.yaml",
    "requirements/train.txt",
    "requirements/treeline.txt",
    "src/own",
    "src/treeline",
    "dataset/sources",
)
TRAIN_BY, PULL_REQUEST = "TRAIN_BY", "pull-request"  # in the environment: what is trained on main


@dataclass(frozen=True)
class Held:
    """A model that is not published, and why; `by` is the gate, the contest or neither.

    `inputs` is the digest of what it was refused with.
    """

    reason: str
    by: str = ""
    inputs: str = ""


def publish(*, reason: str) -> Published:
    """Store, commit and push what training changed; see the module for the order.

    Raises StorageError when the remote cannot be reached or lacks something afterwards,
    SigningError when the release cannot be signed, and PublishingError when git refuses; main is as
    it was then.
    """
    if os.environ.get("GITHUB_REF_TYPE") == "tag":
        return Published(note="This run is one of a tag, so nothing was written back to git.")
    if storage.shared() is None:
        return Published(
            note="There is no shared remote, so nothing was stored and nothing written back to "
            "git. docs/workflows.md tells how to set one."
        )
    declared = list(read_params().models)
    removed = remove_undeclared(declared)
    held = held_back(declared)
    repeated = sorted(refusals.repeated(held))
    locking.restore(held)
    storage.push(besides=[each for name in held for each in locking.files_of(name)])
    artifacts.declare([name for name in declared if name not in held])
    tested = os.environ.get("GITHUB_SHA") or repository.resolved("HEAD") or ""
    branch = repository.branch()
    target = _target(branch)
    elsewhere = [f":(exclude){each}" for name in held for each in locking.files_of(name)]
    files = repository.staged(*releasing.OUTPUTS, besides=elsewhere)
    if held and not removed and not _models_of(files) - set(held):
        repository.unstage(files)  # the digests of what was refused, and nothing else
        files = []
    if files:
        quiet = bool(os.environ.get("GITHUB_ACTIONS")) and target == releasing.MAIN
        repository.commit(message_of(files, reason=reason, removed=removed, held=held, quiet=quiet))
    published = _pushed(tested, branch, target if files else branch, held)
    reasons = {name: each.reason for name, each in held.items()}
    return replace(published, held=reasons, repeated=repeated, removed=removed)


def remove_undeclared(declared: Sequence[str]) -> list[str]:
    """Remove the files of models that params.yaml declares no more; return their names."""
    leftovers = locking.leftovers(declared)
    locking.drop(leftovers)
    for name in leftovers:
        paths = layout.Layout(name)
        for folder in (paths.model, paths.dataset, paths.inputs):
            shutil.rmtree(folder, ignore_errors=True)
    return leftovers


def held_back(declared: Sequence[str]) -> dict[str, Held]:
    """Return the models that may not be published: DVC is not done with them, or a contest is lost.

    What DVC says counts, so that no commit is released whose declared gate fails; the notes of the
    run give the reasons. Raises PublishingError when nobody knows what is out of date.
    """
    stages = changed_stages()
    if unknown := [stage for stage in stages if "@" not in stage]:
        raise PublishingError(f"{', '.join(unknown)} is out of date: make repro, then publish")
    late = {stage.partition("@")[2]: f"{stage} is out of date" for stage in reversed(stages)}
    reproduced = notes.read(notes.Reproduced) or notes.Reproduced()
    failures = {each.model: each for each in reproduced.failures}
    left_out, known = reproduced.left_out, refusals.known()
    compared = notes.read(notes.Compared)
    lost = {} if compared is None or compared.accepted else compared.lost
    held = {}
    for name in declared:
        failure, match = failures.get(name), lost.get(name)
        if name in late:
            refused = failure.refused if failure else name in left_out and name in known
            reason = failure.reason if failure else left_out.get(name, late[name])
            by = GATE if refused else ""
        elif match and match.version == artifacts.version(name):
            reason, by = match.reason, CONTEST
        else:
            continue
        held[name] = Held(reason, by, refusals.inputs_of(name) if by else "")
    return held


def _target(branch: str) -> str:
    """Return the branch to push to: another one where main takes pull requests only."""
    if branch == releasing.MAIN and os.environ.get(TRAIN_BY) == PULL_REQUEST:
        return f"retrain/{datetime.now(UTC):%Y-%m-%d}"
    return branch


def _pushed(tested: str, branch: str, target: str, held: Mapping[str, Held]) -> Published:
    """Push the commit to its target, and what is released and refused with it, or nothing."""
    changed = repository.resolved("HEAD") != tested
    for _ in range(TRIES):
        head = repository.resolved("HEAD") or ""
        entry = releasing.entry_for(head, held=held)
        note = _not_deployed(entry, tested=tested, branch=branch, target=target)
        refspecs = [f"{'' if target == branch else '+'}HEAD:refs/heads/{target}"] if changed else []
        if not note:
            statement = statements.signed(
                statements.of_release(entry), workflow=statements.RELEASING
            )
            refspecs += [releasing.entered(entry, statement=statement), *artifacts.tags(entry)]
        if branch == releasing.MAIN:
            refspecs += refusals.refspecs(_refusals(held, tested))
        complaint = repository.push(*refspecs) if refspecs else None
        if complaint is None:
            other = "" if target == branch else target
            return Published(head, changed=changed, released=not note, note=note, branch=other)
        tip = _moved(branch, complaint)
        if repository.differ(tested, tip, *INPUTS):
            return Published(
                note=f"Meanwhile {tip[:12]} changed what is trained from. Its own run trains; "
                "nothing was written back here."
            )
        repository.rebase(tip)
        changed = repository.resolved("HEAD") != tip
    raise PublishingError(f"{branch} moved on during each of {TRIES} pushes; run it again")


def _refusals(held: Mapping[str, Held], commit: str) -> dict[str, Refusal]:
    """Return the refusals to be on record: those of this run, and those it did not look at."""
    fresh = {
        name: Refusal(each.by, each.inputs, each.reason, commit)
        for name, each in held.items()
        if each.by
    }
    before = {name: each for name, each in refusals.known().items() if name in held}
    return {**before, **fresh}


def _not_deployed(entry: releasing.Entry, *, tested: str, branch: str, target: str) -> str:
    """Return why a commit is not to be deployed now; nothing when it is."""
    if branch != releasing.MAIN:
        return f"Nothing is deployed from {branch}, only from {releasing.MAIN}."
    if target != branch:
        return f"It waits on {target} for its pull request; what is merged is released."
    if not releasing.releasable(entry.commit, tested=tested):
        return f"{branch} moved on meanwhile; the run of what was pushed there deploys."
    before = releasing.last()
    if not releasing.ships_anew(entry, before) and not _signs_anew(before):
        return "An image would hold what the released one holds: there is nothing to deploy."
    return ""


def _signs_anew(before: releasing.Entry | None) -> bool:
    """Tell whether the last release is to be signed with the key that is set up since."""
    envelope = releasing.statement_of(before) if before else None
    return statements.signs_anew(envelope, workflow=statements.RELEASING)


def _moved(branch: str, complaint: str) -> str:
    """Return the new tip of the branch; raises PublishingError when it is not why git refused."""
    tip = repository.fetch(branch)
    if not repository.is_ancestor(tip, "HEAD"):
        return tip
    raise PublishingError(
        f"git push to {branch} was refused; the models are in the remote, git is as it was. Where "
        f"it is a rule of {branch}: docs/workflows.md, `Protected branches`, has the ways out "
        f"({TRAIN_BY}={PULL_REQUEST}, or a token in the secret DEPLOY_TOKEN).\n{complaint}"
    )


def message_of(
    files: Sequence[str],
    *,
    reason: str,
    removed: Collection[str] = (),
    held: Collection[str] = (),
    quiet: bool = False,
) -> str:
    """Return the message of the commit: which models, why, and in which run.

    Of the models that were removed or held back files changed too. A `quiet` one starts no run: it
    is that of a run which has done all there is to do.
    """
    trained = sorted(_models_of(files) - {*removed, *held})
    verbs = [f"Train {', '.join(trained) or 'again'}"] if trained or not removed else []
    verbs += [f"Remove {', '.join(removed)}"] if removed else []
    lines = [f"{'; '.join(verbs)}{' [skip ci]' if quiet else ''}", ""]
    lines += [f"Reason: {' '.join(reason.split())}"] if reason.strip() else []
    if run := os.environ.get("GITHUB_RUN_ID"):
        lines.append(f"Run: {run}")
    return "\n".join(lines).strip()


def _models_of(files: Sequence[str]) -> set[str]:
    return {name for file in files if (name := _model_of(Path(file))) is not None}


def _model_of(file: Path) -> str | None:
    """Return the model that a file was written for; None where it is no single model's."""
    folder = layout.INPUTS if file.is_relative_to(layout.INPUTS) else Path(file.parts[0])
    inside = file.relative_to(folder).parts
    return inside[0] if len(inside) > 1 and file.parts[0] in {"dataset", "model"} else None
