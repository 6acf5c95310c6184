"""The version of a model → where git has it: commit, declaration, data, releases, deployments.

Everything is read from the clone as it is, without a network. What the clone does not know is said
in `missing`, with the command that brings it.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from treeline.config import PARAMS, Layout
from treeline.contract.signature import Signature
from treeline.contract.texts import is_slug
from treeline.delivery import repository
from treeline.delivery.processes import run
from treeline.delivery.releasing import RELEASES, Entry
from treeline.deployment.records import DEPLOYMENTS, IN_SERVICE, Deployment
from treeline.errors import ProvenanceError, SignatureUncheckedError, UntrustedArtifactError
from treeline.files import digest
from treeline.signing import RELEASE, STATEMENT_FILE, Statement, verifying_function

LOCK = Path("dvc.lock")
STAGES = ("collect", "prepare", "train", "evaluate", "export")  # those with data of one model
RUN = "Run: "  # how the message of a training's commit names its run
SEPARATOR = "\x1f"  # of git's fields: in no name and no subject


@dataclass(frozen=True)
class Commit:
    """A commit: its id, when it was made (ISO 8601), by whom, its subject, and its run if any."""

    id: str
    when: str
    author: str
    subject: str
    run: str = ""


@dataclass(frozen=True)
class DataFile:
    """A file of the lineage as `dvc.lock` names it: MD5 digest, and size in bytes if known."""

    path: str
    md5: str
    bytes: int | None
    cached: bool


@dataclass(frozen=True)
class ReleaseEntry:
    """A release: the commit of its entry, that of its models, and when it was made (ISO 8601).

    `passed` is the commit at which the model itself passed its gate and its comparison, `signed`
    says who vouches for it, or why nobody does.
    """

    id: str
    commit: str
    passed: str
    when: str
    signed: str


@dataclass(frozen=True)
class Origin:
    """What a clone knows of one version of a model.

    `declaration` is the model's block of `params.yaml` at `commit`, as YAML. `data` are the files
    of its stages. `deployments` are those with this version, the newest first.
    """

    model: str
    version: str
    commit: Commit | None
    signature: Signature | None
    declaration: str
    data: tuple[DataFile, ...]
    releases: tuple[ReleaseEntry, ...]
    deployments: tuple[Deployment, ...]
    missing: tuple[str, ...]


def model_with(version: str) -> str:
    """Return the name of the model that has, or had, a version.

    Raises ProvenanceError where no model is known by it, or several are.
    """
    names = {path.parent.name for path in _changed(version, "model/*/signature.json")}
    for document in RELEASES.documents():
        names |= {name for name, each in document["models"].items() if each == version}
    today = {name for name in names if _has_version("HEAD", Layout(name).signature, version)}
    known = sorted(today or names)
    if not known:
        raise ProvenanceError(
            f"{version}: no signature in the history of this clone has that version"
            + _shallow_advice()
        )
    if len(known) > 1:
        raise ProvenanceError(
            f"{version}: is the version of {' and of '.join(known)}; say which: --model {known[0]}"
        )
    return known[0]


def origin_of(model: str, version: str, *, signers: str = "") -> Origin:
    """Return what this clone knows of a version of a model.

    `signers` is the file of trusted signers, or what stands in it; without it no signature is
    verified. Raises ProvenanceError for what is no name of a model, DeliveryError where git fails,
    and ConfigError for a file of signers that does not hold.
    """
    if not is_slug(model):
        raise ProvenanceError(f"{model!r} is no name of a model")
    paths, missing = Layout(model), []
    releases = tuple(_releases(model, version, signers))
    introduction = _introduced(paths, version, [each.passed for each in releases])
    commit, signature, declaration = None, None, ""
    data: tuple[DataFile, ...] = ()
    if introduction is None:
        missing.append(
            f"commit: no {paths.signature} in the history of this clone has version {version}"
            + _shallow_advice()
        )
    else:
        commit, signature = introduction
        declaration = _declaration(commit.id, model)
        if not declaration:
            missing.append(f"declaration: {PARAMS} of {commit.id[:12]} does not declare {model}")
        cache = Path(run("dvc", "cache", "dir").strip(), "files", "md5")
        data = _data(commit.id, model, cache)
        missing += _differences(data, signature, cache)
        if not commit.run:
            missing.append("run: the commit names none; it was made by hand, or in a rebase")
    if not releases:
        missing.append(
            f"release: no entry has it; git fetch origin {RELEASES.branch} gets the list"
        )
    deployments = tuple(_deployments(model, version))
    if not deployments:
        missing.append(
            f"deployment: no record has it; git fetch origin {DEPLOYMENTS.branch} gets the list"
        )
    return Origin(
        model, version, commit, signature, declaration, data, releases, deployments, tuple(missing)
    )


def in_service_at(origin: Origin, time: str) -> Deployment | None:
    """Return the deployment with this version that was the last before a time (ISO 8601, UTC)."""
    earlier = [
        each
        for each in origin.deployments
        if each.outcome == IN_SERVICE and each.when.rstrip("Z") <= time[:19]
    ]
    return max(earlier, key=lambda each: each.when, default=None)


def _introduced(
    paths: Layout, version: str, released: Sequence[str]
) -> tuple[Commit, Signature] | None:
    """Return the commit that has a version, and its signature.

    It is that of the first release, else the first in the history of HEAD: what others have pushed
    to branches of their own says nothing of this repository.
    """
    pathspec = paths.signature.as_posix()
    history = _log(f'-S"version": "{version}"', "HEAD", "--", pathspec)
    commits = [
        *(_log("--no-walk", each, "--")[0] for each in reversed(released)),
        *reversed(history),
    ]
    for commit in commits:
        text = repository.shown(commit.id, paths.signature)
        if text is None:
            continue
        signature = Signature.parse(text, place=f"{commit.id[:12]}:{paths.signature}")
        if signature.version == version:
            return commit, signature
    return None


def _has_version(revision: str, signature: Path, version: str) -> bool:
    text = repository.shown(revision, signature)
    return text is not None and Signature.parse(text, place=str(signature)).version == version


def _log(*selection: str) -> list[Commit]:
    """Return commits, the newest first."""
    fields = SEPARATOR.join(("%H", "%cI", "%an", "%s", "%b"))
    text = run("git", "log", "--no-renames", "-z", f"--format={fields}", *selection)
    return [_commit(each) for each in text.split("\0") if each]


def _commit(fields: str) -> Commit:
    name, when, author, subject, body = fields.split(SEPARATOR, 4)
    runs = [line.removeprefix(RUN) for line in body.splitlines() if line.startswith(RUN)]
    return Commit(name, when, author, subject, runs[0] if runs else "")


def _changed(version: str, pathspec: str) -> list[Path]:
    """Return the files in which a line with the version came or went, in the history of HEAD."""
    text = run(
        "git",
        "log",
        "--no-renames",
        "--format=",
        "--name-only",
        f'-S"version": "{version}"',
        "HEAD",
        "--",
        pathspec,
    )
    return [Path(line) for line in text.splitlines() if line]


def _declaration(commit: str, model: str) -> str:
    yaml = YAML()
    document = yaml.load(repository.shown(commit, PARAMS) or "{}") or {}
    block = document.get("models", {}).get(model)
    if block is None:
        return ""
    written = io.StringIO()
    yaml.dump(block, written)
    return written.getvalue().rstrip()


def _data(commit: str, model: str, cache: Path) -> tuple[DataFile, ...]:
    """Return what the stages of a model read and wrote, as far as DVC keeps it, each file once."""
    text = repository.shown(commit, LOCK)
    stages: dict[str, Any] = (YAML(typ="safe").load(text or "{}") or {}).get("stages", {})
    files: dict[str, DataFile] = {}
    for stage in STAGES:
        locked = stages.get(f"{stage}@{model}", {})
        for each in (*locked.get("deps", ()), *locked.get("outs", ())):
            path = each["path"]
            if path not in files and path.startswith("dataset/") and "md5" in each:
                there = _in(cache, each["md5"]).exists()
                files[path] = DataFile(path, each["md5"], each.get("size"), there)
    return tuple(files.values())


def _in(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _differences(data: tuple[DataFile, ...], signature: Signature, cache: Path) -> list[str]:
    """Say which rows can be had here, and are not those that the signature names."""
    notes = []
    if data and not any(each.cached for each in data):
        notes.append(
            "data: no file is in the cache of this clone; dvc fetch gets what a remote has"
        )
    for each in data:
        named = signature.lineage.data.get(Path(each.path).name)
        if named is not None and each.cached and digest(_in(cache, each.md5)) != named:
            notes.append(f"data: {each.path} in the cache is not what the signature names")
    return notes


def _releases(model: str, version: str, signers: str) -> Iterator[ReleaseEntry]:
    """Yield the releases with a version, the newest first."""
    tip = RELEASES.tip()
    if tip is None:
        return
    for line in run("git", "log", "--format=%H %cI", tip).splitlines():
        name, when = line.split(" ", 1)
        document = RELEASES.at(name) or {}
        if document.get("models", {}).get(model) == version:
            passed = Entry.of(document).passed[model]
            signed = _signed(name, document, model, signers)
            yield ReleaseEntry(name, document["commit"], passed, when, signed)


def _signed(entry: str, document: Mapping[str, Any], model: str, signers: str) -> str:
    """Say who has signed an entry, and the contract of a model with it."""
    envelope = repository.shown(entry, Path(STATEMENT_FILE))
    if envelope is None:
        return "not signed"
    if not signers:
        return "signed, not verified: name the trusted signers (--signers)"
    verify, place = verifying_function(place="--signers"), f"{STATEMENT_FILE} of {entry[:12]}"
    try:
        statement = verify(envelope.encode(), signers, place=place, now=datetime.now(UTC))
        _check(statement, Entry.of(document), model, place=place)
    except UntrustedArtifactError as error:
        return f"not to be trusted: {error}"
    except SignatureUncheckedError as error:
        return f"signed, not verified: {error}"
    return f"signed by {statement.signer}"


def _check(statement: Statement, released: Entry, model: str, *, place: str) -> None:
    """Raise UntrustedArtifactError unless a statement vouches for a release and a model of it."""
    if statement.about != RELEASE or Entry.of(statement.content) != released:
        raise UntrustedArtifactError(f"{place}: what was signed is another release")
    path, commit = Layout(model).signature, released.passed[model]
    contract = repository.shown(commit, path) or ""
    digest_of_contract = hashlib.sha256(contract.encode()).hexdigest()
    statement.check(path.as_posix(), digest_of_contract, place=place)
    if Signature.parse(contract, place=place).version != released.models[model]:
        raise UntrustedArtifactError(f"{place}: {commit[:12]} has another version of {model}")


def _deployments(model: str, version: str) -> Iterator[Deployment]:
    """Yield the deployments with a version, the newest first."""
    for document in DEPLOYMENTS.documents():
        deployment = Deployment.of(document)
        if deployment.models.get(model) == version:
            yield deployment


def _shallow_advice() -> str:
    shallow = run("git", "rev-parse", "--is-shallow-repository").strip()
    return "; this clone is shallow: git fetch --unshallow" if shallow == "true" else ""
