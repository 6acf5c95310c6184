"""Models → brought up to date by a workflow, and a note of what failed for the report."""

from treeline.config import read_params
from treeline.delivery import notes, tracking
from treeline.delivery.reproducing import Failure, recollect, reproduce
from treeline.errors import ConfigError


def retrain(model: str | None, *, force: bool, ask_sources: bool) -> list[Failure]:
    """Run the pipeline for one model, or all; return what failed and what the gate refused.

    With `ask_sources` every source is asked again first.
    """
    notes.forget()
    with notes.complaining("retrain"):
        models = _models(model)
        failures = recollect(models) if ask_sources else []
        failures = failures or reproduce(models, force=force)
    notes.leave(notes.REPRODUCED, [failure.plain() for failure in failures])
    tracking.follow(models)
    return failures


def _models(one: str | None) -> list[str]:
    declared = list(read_params().models)
    if one and one not in declared:
        raise ConfigError(f"{one}: not declared; declared are {', '.join(declared)}")
    return [one] if one else declared
