"""The branch `released`: a list of the commits that were tested and whose models may be served.

`main` says what is wanted. Continuous training writes a commit into the list once its tests, its
gates and its comparison have passed and its data are in the remote; deployment builds from the
last one. Each entry is a small JSON file, and the branch holds nothing else: a workflow's token may
not push a branch in which workflow files change.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treeline.config import Layout
from treeline.config.metrics import METRICS
from treeline.contract.signature import Signature
from treeline.delivery import repository
from treeline.errors import DeliveryError

MAIN = "main"
RELEASED = "released"
TRACKED = f"refs/remotes/origin/{RELEASED}"
ENTRY = Path("released.json")

# What training writes: a commit that differs from the tested one only here is as good as tested.
OUTPUTS = ("dvc.lock", "dataset", "model")
# What goes into the image: a release that differs in none of it has nothing new to deploy.
SHIPPED = (
    "Dockerfile", ".dockerignore", "initializer.sh", "pyproject.toml",
    "requirements/build.txt", "requirements/h2o.txt", "requirements/pickle.txt",
    "requirements/serve.txt",
    "api", "src/own", "src/treeline", ":(glob)model/*/signature.json",
)  # fmt: skip


@dataclass(frozen=True)
class Release:
    """A model that was released: its commit, its version, and its signature as text."""

    commit: str
    version: str
    signature: str


def released() -> str | None:
    """Return the released commit as this checkout knows it, or None before the first release."""
    found = _entry(TRACKED)
    return None if found is None else str(found["commit"])


def entered(commit: str) -> str:
    """Write a commit into the list, here; return what is to be pushed as the branch."""
    models = {
        signature.name: signature.version
        for path in sorted(Path("model").glob("*/signature.json"))
        for signature in [Signature.read(path)]
    }
    content = json.dumps({"commit": commit, "models": models}, indent=2) + "\n"
    message = f"Release {commit[:12]}: " + ", ".join(map(" ".join, models.items()))
    after = repository.resolved(TRACKED)
    return repository.entry(ENTRY.name, content, after=after, message=message)


def incumbent() -> str:
    """Return the commit of the models to compare with: the released ones, else those of HEAD."""
    return (released() or repository.resolved("HEAD") or "HEAD")[:12]


def releasable(commit: str, *, tested: str) -> bool:
    """Tell whether a commit is that which was tested, but for what training wrote."""
    elsewhere = [f":(exclude){path}" for path in OUTPUTS]
    return not repository.differ(tested, commit, ".", *elsewhere)


def ships_anew(commit: str) -> bool:
    """Tell whether an image of this commit would differ from one of the released commit."""
    before = released()
    return before is None or repository.differ(before, commit, *SHIPPED)


def chosen(version: str) -> str:
    """Return the commit to deploy: the released one, or the one that `version` names.

    `version` is a commit, a tag, or the version of a model, which names the last release that has
    it. Raises DeliveryError when it names nothing.
    """
    if not version:
        if commit := released():
            return commit
        raise DeliveryError("nothing is released yet: run the training on main first")
    tip = repository.resolved(TRACKED)
    for entry in repository.history(tip) if tip else ():
        found = _entry(entry)
        if found and version in found["models"].values():
            return str(found["commit"])
    if commit := repository.resolved(version):
        return commit
    raise DeliveryError(
        f"{version}: neither a commit nor the version of a released model; "
        f"git log origin/{RELEASED} lists both"
    )


def best(paths: Layout, metric: str) -> Release | None:
    """Return the release of a model whose test gave the best figure, the newest of equal ones.

    Tests differ from release to release, so that the figure only says which model to set beside a
    candidate, on the same rows. None where no release has that metric.
    """
    tip, sign = repository.resolved(TRACKED), METRICS[metric].sign
    found: dict[str, tuple[float, Release]] = {}
    for entry in repository.history(tip) if tip else ():
        release = _entry(entry) or {}
        version = release.get("models", {}).get(paths.name)
        if version is None or version in found:
            continue
        signature = repository.shown(release["commit"], paths.signature)
        value = json.loads(signature or "{}").get("metrics", {}).get(metric)
        if value is not None:
            found[version] = sign * value, Release(release["commit"], version, str(signature))
    return max(found.values(), key=lambda pair: pair[0], default=(0.0, None))[1]


def _entry(revision: str) -> dict[str, Any] | None:
    text = repository.shown(revision, ENTRY)
    found: dict[str, Any] | None = None if text is None else json.loads(text)
    return found
