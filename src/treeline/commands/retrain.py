"""Models → brought up to date by a workflow, and a note of what failed for those who go on.

Left out is a model that the gate refused before with the same inputs, for it would refuse it again,
and one whose rows nobody can have who has no secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from treeline.config import Params, read_params
from treeline.delivery import actions, notes, refusals, storage, tracking
from treeline.delivery.notes import Failure
from treeline.delivery.pipeline import recollect, reproduce
from treeline.errors import ConfigError


@dataclass(frozen=True)
class Training:
    """What failed and what the gate refused, and why models were left out, by name."""

    failures: Sequence[Failure]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> bool:
        """Whether it failed before any model could be made, so that nobody can go on."""
        return any(not failure.model for failure in self.failures)


def retrain(model: str | None, *, force: bool, ask_sources: bool) -> Training:
    """Run the pipeline for one model, or all; return what failed and what the gate refused.

    With `ask_sources` every source is asked again first.
    """
    notes.clear()
    with notes.recording_error("retrain"):
        params = read_params()
        models = _models(params, model)
        left_out = _without_rows(params, models)
        failures = recollect(_without(models, left_out)) if ask_sources else []
        training = Training(failures, left_out)
        if not training.broken:
            training = _trained(models, training, force=force)
    notes.write(notes.Reproduced(training.failures, training.left_out))
    for name, reason in training.left_out.items():
        actions.notice(f"{name} is left out: {reason}")
    tracking.follow(_without(models, training.left_out))
    return training


def _trained(models: list[str], before: Training, *, force: bool) -> Training:
    """Train the models that can go on."""
    failed = [failure.model for failure in before.failures]
    left_out = dict(before.left_out)
    if not force:
        left_out |= _refused_before(_without(models, [*failed, *left_out]))
    rest = _without(models, [*failed, *left_out])
    more = reproduce(rest, force=force) if rest else []
    return Training([*before.failures, *more], left_out)


def _refused_before(models: Sequence[str]) -> dict[str, str]:
    """Return the models that the gate would refuse as it did before, and what it said."""
    recorded = [name for name in models if name in refusals.known()]
    if not recorded or recollect(recorded, force=False):
        return {}
    return {
        name: f"the gate refused it at {each.commit[:12]} with the same inputs ({each.reason}); "
        "FORCE=true trains it all the same"
        for name, each in refusals.repeated(recorded).items()
        if each.by == refusals.GATE
    }


def _without_rows(params: Params, models: Sequence[str]) -> dict[str, str]:
    """Return the models whose own file is in the remote alone, where there is no remote."""
    paths = {name: getattr(params.models[name].source, "path", None) for name in models}
    lost = {
        name: path
        for name, path in paths.items()
        if path and not Path(path).exists() and Path(f"{path}.dvc").is_file()
    }
    if not lost or storage.shared() is not None:
        return {}
    reason = storage.absence()
    return {name: f"{path} is in the shared remote, and {reason}" for name, path in lost.items()}


def _models(params: Params, one: str | None) -> list[str]:
    declared = list(params.models)
    if one and one not in declared:
        raise ConfigError(f"{one}: not declared; declared are {', '.join(declared)}")
    return [one] if one else declared


def _without(models: Sequence[str], others: Sequence[str] | dict[str, str]) -> list[str]:
    return [name for name in models if name not in others]
