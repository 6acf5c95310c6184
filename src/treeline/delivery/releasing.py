"""The branch `released`: a list of the commits that were tested and whose models may be served.

`main` says what is wanted. Continuous training writes a commit into the list once its tests, its
gates and its comparisons have passed and its data are in the remote; deployment builds from the
last one. An entry says of each model at which commit it passed: one that is refused now goes on as
it passed last.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ruamel.yaml import YAML

from treeline.config import PARAMS, Layout
from treeline.config.metrics import METRICS
from treeline.delivery import repository
from treeline.delivery.lists import JsonList
from treeline.errors import DeliveryError
from treeline.signing import STATEMENT_FILE

MAIN = "main"
RELEASES = JsonList("released")
RELEASED = RELEASES.branch

# What training writes: a commit that differs from the tested one only here is as good as tested.
OUTPUTS = ("dvc.lock", "dataset", "model")
# What goes into the image: a release that differs in none of it has nothing new to deploy.
SHIPPED = (
    "Dockerfile", ".dockerignore", "initializer.sh", "pyproject.toml",
    "requirements/build.txt", "requirements/h2o.txt", "requirements/pickle.txt",
    "requirements/serve.txt", "requirements/signing.txt", "requirements/treeline.txt",
    "api", "src/own", "src/treeline", ":(glob)model/*/signature.json",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A release: its commit, and of each model its version and the commit at which it passed."""

    commit: str
    models: Mapping[str, str]
    passed: Mapping[str, str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Entry":
        """Read a document; in older ones every model passed at the commit itself."""
        commit, models = document["commit"], document["models"]
        return cls(commit, models, document.get("passed", dict.fromkeys(models, commit)))

    @property
    def whole(self) -> bool:
        """Whether every model passed at the commit itself."""
        return set(self.passed.values()) <= {self.commit}

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Release:
    """A model that was released: its commit, its version, and its signature as text."""

    commit: str
    version: str
    signature: str


def last() -> Entry | None:
    """Return the last release as this checkout knows it, or None before the first one."""
    document = RELEASES.last()
    return None if document is None else Entry.of(document)


def released() -> str | None:
    """Return the released commit as this checkout knows it, or None before the first release."""
    entry = last()
    return None if entry is None else entry.commit


def entry_for(commit: str, *, held: Collection[str] = ()) -> Entry:
    """Return what is to be entered for a commit, of the models that it declares.

    One that is `held` back goes on as it was released last; one that never was is left out.
    """
    before = last()
    versions, passed = {}, {}
    for name in declared_at(commit):
        if name not in held:
            signature = repository.shown(commit, Layout(name).signature)
            if signature is not None:
                versions[name], passed[name] = json.loads(signature)["version"], commit
        elif before is not None and name in before.models:
            versions[name], passed[name] = before.models[name], before.passed[name]
    return Entry(commit, versions, passed)


def entered(entry: Entry, *, statement: str = "") -> str:
    """Write an entry into the list, here, and its signed statement; return the refspec to push."""
    models = ", ".join(map(" ".join, entry.models.items()))
    beside = {STATEMENT_FILE: statement} if statement else {}
    message = f"Release {entry.commit[:12]}: {models}"
    return RELEASES.entry(entry.to_dict(), message=message, beside=beside)


def statement_of(entry: Entry, *, at: str | None = None) -> str | None:
    """Return the signed statement of a release, None where nobody has signed it.

    A release may be signed anew, with another key; `at` is the tip of the list until which counts.
    """
    return RELEASES.beside(entry.to_dict(), STATEMENT_FILE, at=at)


def declared_at(commit: str) -> list[str]:
    """Return the names of the models that a commit declares."""
    text = repository.shown(commit, PARAMS)
    document = YAML(typ="safe", pure=True).load(text) if text else {}
    return list(document.get("models", {}))


def incumbent() -> str:
    """Return the commit of the models to compare with: the released ones, else those of HEAD."""
    return (released() or repository.resolved("HEAD") or "HEAD")[:12]


def releasable(commit: str, *, tested: str) -> bool:
    """Tell whether a commit is that which was tested, but for what training wrote."""
    elsewhere = [f":(exclude){path}" for path in OUTPUTS]
    return not repository.differ(tested, commit, ".", *elsewhere)


def ships_anew(entry: Entry, before: Entry | None) -> bool:
    """Tell whether an image of a release would differ from one of another."""
    if before is None or dict(entry.models) != dict(before.models):
        return True
    return repository.differ(before.commit, entry.commit, *SHIPPED)


def chosen(version: str, *, unlisted: bool = False) -> Entry:
    """Return the release to deploy: the last one, or the one that `version` names.

    `version` is a commit or a tag of one that was released, or the version of a model, which names
    the last release that has it. Only where a person says `unlisted` may it be any other commit.
    Raises DeliveryError when it names nothing.
    """
    if not version:
        if entry := last():
            return entry
        raise DeliveryError("nothing is released yet: run the training on main first")
    commit = repository.resolved(version)
    for document in RELEASES.documents():
        entry = Entry.of(document)
        if version in entry.models.values() or commit == entry.commit:
            return entry
    if commit is None:
        raise DeliveryError(
            f"{version}: neither a commit nor the version of a released model; "
            f"git log origin/{RELEASED} lists both"
        )
    if not unlisted:
        raise DeliveryError(
            f"{version}: never released, so nobody knows whether its models may be served; "
            f"git log origin/{RELEASED} lists what was; UNLISTED=true deploys it all the same"
        )
    return entry_for(commit)


def best(paths: Layout, metric: str) -> Release | None:
    """Return the release of a model whose test gave the best figure, the newest of equal ones.

    Tests differ from release to release, so that the figure only says which model to set beside a
    candidate, on the same rows. None where no release has that metric.
    """
    sign = METRICS[metric].sign
    releases: dict[str, tuple[float, Release]] = {}
    for document in RELEASES.documents():
        entry = Entry.of(document)
        version = entry.models.get(paths.name)
        if version is None or version in releases:
            continue
        commit = entry.passed[paths.name]
        signature = repository.shown(commit, paths.signature)
        value = json.loads(signature or "{}").get("metrics", {}).get(metric)
        if value is not None:
            releases[version] = sign * value, Release(commit, version, str(signature))
    return max(releases.values(), key=lambda pair: pair[0], default=(0.0, None))[1]
