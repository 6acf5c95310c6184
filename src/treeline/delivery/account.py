"""What a run of continuous training did, gathered from the checkout and the notes of its steps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treeline.config import Layout
from treeline.contract.signature import Signature
from treeline.delivery import notes, repository
from treeline.delivery.publishing import Published
from treeline.delivery.reproducing import Failure


@dataclass(frozen=True)
class ModelAccount:
    """One model of a run: versions before and now, what its stages wrote, how it compares.

    Everything may be missing: a model can be new, or its training can have failed.
    """

    name: str
    version: str | None = None
    before: str | None = None
    verdict: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    summary_before: Mapping[str, Any] = field(default_factory=dict)
    comparison: str = ""
    images: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the exported model is another than before."""
        return self.version != self.before


@dataclass(frozen=True)
class Complaint:
    """The error that ended a run, and the command that it ended."""

    command: str
    message: str


@dataclass(frozen=True)
class Account:
    """A whole run.

    `published` is None when the run was not to publish, or ended before or while it did.
    """

    models: tuple[ModelAccount, ...]
    failures: tuple[Failure, ...] = ()
    worse: bool = False  # the comparison says that a model must not ship
    accepted: bool = False  # and a person said that it ships all the same
    published: Published | None = None
    complaint: Complaint | None = None
    reason: str = ""
    browser: str = ""  # the address of the repository, for links
    run: str = ""  # the address of the run

    @property
    def changed(self) -> tuple[ModelAccount, ...]:
        """The models that are others than before."""
        return tuple(model for model in self.models if model.changed)


def account(names: list[str], **more: str) -> Account:
    """Return the account of the run whose notes lie in this checkout."""
    compared = notes.found(notes.COMPARED) or {}
    published, complaint = notes.found(notes.PUBLISHED), notes.found(notes.COMPLAINT)
    base = compared.get("base")
    return Account(
        models=tuple(_gathered(Layout(name), base=base) for name in names),
        failures=tuple(Failure(**each) for each in notes.found(notes.REPRODUCED) or ()),
        worse=not compared.get("good", True),
        accepted=compared.get("accepted", False),
        published=Published(**published) if published else None,
        complaint=Complaint(**complaint) if complaint else None,
        **more,
    )


def _gathered(paths: Layout, *, base: str | None) -> ModelAccount:
    """Read what the stages wrote about a model, and what it was at the commit it is compared with.

    Without such a commit the run did not come to comparing: a comparison found is of another run.
    """
    earlier = base or "HEAD"
    before = repository.shown(earlier, paths.signature)
    told = paths.comparison.with_suffix(".md")
    return ModelAccount(
        name=paths.name,
        version=_version(paths.signature.read_bytes()) if paths.signature.exists() else None,
        before=_version(before.encode()) if before else None,
        verdict=_json(paths.verdict),
        evaluation=_json(paths.evaluation),
        training=_json(paths.training),
        summary=_json(paths.summary),
        summary_before=json.loads(repository.shown(earlier, paths.summary) or "{}"),
        comparison=told.read_text(encoding="utf-8") if base and told.exists() else "",
        images=tuple(path.as_posix() for path in sorted(paths.images.glob("*.png"))),
    )


def _version(signature: bytes) -> str:
    return Signature.parse(signature, place="signature.json").version


def _json(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found
