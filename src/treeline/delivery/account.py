"""What a run of continuous training did, gathered from the checkout and the notes of its steps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treeline.config import Layout
from treeline.contract.signature import Signature
from treeline.delivery import notes, repository
from treeline.delivery.notes import Compared, Failure, Published, Reproduced, RunError
from treeline.records.evaluation import Evaluation, read_evaluation
from treeline.records.training import Training, read_training


@dataclass(frozen=True)
class ModelSummary:
    """One model of a run: versions before and now, what its stages wrote, how it compares.

    Everything may be missing: a model can be new, or its training can have failed.
    """

    name: str
    version: str | None = None
    before: str | None = None
    verdict: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    training: Training | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    summary_before: Mapping[str, Any] = field(default_factory=dict)
    comparison: str = ""
    images: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the exported model is another than before."""
        return self.version != self.before


@dataclass(frozen=True)
class RunSummary:
    """A whole run.

    `left_out` are models that were not trained, and why; `lost` those that the contest with the
    incumbent would not let pass, which a person may have `accepted`. `published` is None when the
    run was not to publish, or ended before or while it did.
    """

    models: tuple[ModelSummary, ...]
    failures: tuple[Failure, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    accepted: bool = False
    published: Published | None = None
    error: RunError | None = None
    reason: str = ""
    browser: str = ""  # the address of the repository, for links
    run: str = ""  # the address of the run

    @property
    def alarming(self) -> bool:
        """Whether somebody must look at it: something went wrong that was not told before."""
        if self.error is not None:
            return True
        bad = {each.model for each in self.failures} | set(() if self.accepted else self.lost)
        return bool(bad - set(self.published.repeated if self.published else ()))

    @property
    def changed(self) -> tuple[ModelSummary, ...]:
        """The models that are others than before."""
        return tuple(model for model in self.models if model.changed)


def summarised(names: list[str], **more: str) -> RunSummary:
    """Return the summary of the run whose notes lie in this checkout."""
    reproduced = notes.read(Reproduced) or Reproduced()
    compared = notes.read(Compared)
    base = compared.base if compared else None
    return RunSummary(
        models=tuple(_gathered(Layout(name), base=base) for name in names),
        failures=tuple(reproduced.failures),
        left_out=reproduced.left_out,
        lost=tuple(compared.lost) if compared else (),
        accepted=compared.accepted if compared else False,
        published=notes.read(Published),
        error=notes.read(RunError),
        **more,
    )


def _gathered(paths: Layout, *, base: str | None) -> ModelSummary:
    """Read what the stages wrote about a model, and what it was at the commit it is compared with.

    Without such a commit the run did not come to comparing: a comparison found is of another run.
    """
    earlier = base or "HEAD"
    before = repository.shown(earlier, paths.signature)
    contest = paths.comparison.with_suffix(".md")
    return ModelSummary(
        name=paths.name,
        version=_version(paths.signature.read_bytes()) if paths.signature.exists() else None,
        before=_version(before.encode()) if before else None,
        verdict=_json(paths.verdict),
        evaluation=read_evaluation(paths.evaluation) if paths.evaluation.exists() else None,
        training=read_training(paths.training) if paths.training.exists() else None,
        summary=_json(paths.summary),
        summary_before=json.loads(repository.shown(earlier, paths.summary) or "{}"),
        comparison=contest.read_text(encoding="utf-8") if base and contest.exists() else "",
        images=tuple(path.as_posix() for path in sorted(paths.images.glob("*.png"))),
    )


def _version(signature: bytes) -> str:
    return Signature.parse(signature, place="signature.json").version


def _json(path: Path) -> Mapping[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}
