"""A release, or a deployed image → the statement of what is in it, signed where that is set up.

Environment: SIGNING_KEY, a private key as PEM or the path of its file; SIGNING=keyless, by which a
run of GitHub Actions signs as the workflow that it is. With both, both sign.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from treeline.config import Layout
from treeline.delivery import actions, notes, repository
from treeline.delivery.releasing import Entry
from treeline.errors import SigningError
from treeline.files import digest
from treeline.signing import (
    IMAGE,
    RELEASE,
    Statement,
    WorkflowIdentity,
    key_ids_function,
    key_ids_in,
    signing_function,
)
from treeline.signing.names import full_name

KEY, CHOICE, KEYLESS = "SIGNING_KEY", "SIGNING", "keyless"
RELEASING, DEPLOYING = "train.yml", "deploy.yml"  # the workflows that sign


def is_set_up() -> bool:
    """Tell whether releases are signed here; raises SigningError for a choice that is none."""
    choice = os.environ.get(CHOICE, "").strip()
    if choice not in {"", KEYLESS}:
        raise SigningError(f"{CHOICE}: {choice!r} is not known; give {KEYLESS}, or set {KEY}")
    return bool(choice or _key())


def of_release(entry: Entry) -> Statement:
    """Return the statement of a release: the files of each model, by path in the repository.

    These are contract, verdict and artifact as they stand at the commit at which the model passed,
    and the comparison of this run, where there was one.
    """
    digests: dict[str, str] = {}
    compared = notes.read(notes.Compared)
    contests = compared.models if compared else {}
    for name, commit in entry.passed.items():
        paths = Layout(name)
        contract = repository.shown(commit, paths.signature)
        verdict = repository.shown(commit, paths.verdict)
        texts = {paths.signature: contract, paths.verdict: verdict}
        digests |= {path.as_posix(): _sha256(text) for path, text in texts.items() if text}
        files: Mapping[str, str] = json.loads(contract or "{}").get("files", {})
        digests |= {(paths.model / file).as_posix(): sha256 for file, sha256 in files.items()}
        contest = contests.get(name)
        same = contest is not None and contest.version == entry.models[name]
        if same and paths.comparison.is_file():
            digests[paths.comparison.as_posix()] = digest(paths.comparison)
    return Statement(RELEASE, digests, entry.to_dict())


def of_image(image: str, entry: Entry) -> Statement:
    """Return the statement of an image, which is named with its digest, of a release.

    It has the full name, under which an agent asks for it. Raises SigningError without a digest.
    """
    name, _, sha256 = full_name(image).partition("@sha256:")
    if not sha256:
        raise SigningError(
            f"{image}: is to be signed, and its digest is not known; ship it again: make ship"
        )
    return Statement(IMAGE, {name: sha256}, entry.to_dict())


def signed(statement: Statement, *, workflow: str) -> str:
    """Return the signed envelope of a statement, an empty text where nothing is set up to sign.

    `workflow` is the file of the workflow that a keyless signature is by. Raises SigningError, and
    MissingExtraError where the libraries are not installed.
    """
    if not is_set_up():
        return ""
    return signing_function()(statement, key=_key(), workflow=_identity(workflow))


def signs_anew(envelope: str | None, *, workflow: str) -> bool:
    """Tell whether somebody who signs here has not signed an envelope; None is one of nobody.

    `workflow` is as of `signed`. Raises SigningError, and MissingExtraError.
    """
    if not is_set_up():
        return False
    own = key_ids_function()(key=_key(), workflow=_identity(workflow))
    return not own <= key_ids_in(envelope)


def _identity(workflow: str) -> WorkflowIdentity | None:
    """Return who this run is where it signs keyless, None where it does not."""
    if not os.environ.get(CHOICE, "").strip():
        return None
    page = f"{actions.repository_page()}/.github/workflows/{workflow}"
    return WorkflowIdentity(f"{page}@{os.environ.get('GITHUB_REF', '')}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _key() -> str:
    """Return the private key, empty without one; raises SigningError where its file is absent."""
    given = os.environ.get(KEY, "").strip()
    if not given or given.startswith("-----BEGIN"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:  # what it names may be the key
        raise SigningError(
            f"{KEY}: is neither a private key as PEM nor the path of a file that can be read"
        ) from error
