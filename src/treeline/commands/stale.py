"""Every source, asked again → whether a training is due.

Nothing is decided by time: a run that the schedule lost is made up for by the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from treeline.config import read_params
from treeline.delivery import actions, refusals, releasing, storage
from treeline.delivery.notes import Failure
from treeline.delivery.pipeline import out_of_date, recollect
from treeline.delivery.refusals import Refusal
from treeline.errors import SourceError


@dataclass(frozen=True)
class Sources:
    """What asking the sources of models again shows.

    `stages` are those of the models that are out of date. Whatever its rows are, no training is of
    use for a model whose source gives none (`failures`), or that was `refused` with the same ones.
    """

    stages: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    def reasons(self, model: str) -> list[str]:
        """Return why a training of one model is due."""
        return [f"{stage} is out of date" for stage in self.stages if stage.endswith(f"@{model}")]

    def obstacle(self, model: str) -> str:
        """Say what keeps one model from being trained; empty where nothing does."""
        for failure in self.failures:
            if failure.model in ("", model):
                return f"its source cannot be asked: {failure.reason}"
        if (refusal := self.refused.get(model)) is not None:
            return (
                f"it was trained from the same rows before, and refused at "
                f"{refusal.commit[:12]}: {refusal.reason}"
            )
        return ""


def ask_sources(models: Sequence[str]) -> Sources:
    """Ask the sources of models again, and compare what they give with what was learnt from."""
    failures = recollect(models)
    failed = {each.model for each in failures}
    refused = refusals.repeated(name for name in models if name not in failed)
    stages = [
        stage for stage in out_of_date() if stage.partition("@")[2] not in {*failed, *refused}
    ]
    return Sources(stages, failures, refused)


def reasons_to_train() -> list[str]:
    """Return, and hand on, why a training is due: stages whose hashes differ, unreleased work.

    A model that was refused with the same inputs is no reason: it would be refused again. Raises
    SourceError where a source cannot be asked.
    """
    if storage.shared() is None:
        actions.notice("There is no shared remote to keep a model in: no training is due.")
        actions.output(due="false")
        return []
    sources = ask_sources(list(read_params().models))
    if sources.failures:
        raise SourceError("; ".join(f"{each.model}: {each.reason}" for each in sources.failures))
    for name, each in sources.refused.items():
        print(f"{name} was refused at {each.commit[:12]} with the same inputs: {each.reason}")
    reasons = [f"{stage} is out of date" for stage in sources.stages]
    if releasing.ships_anew(releasing.entry_for("HEAD", held=sources.refused), releasing.last()):
        reasons.append("what would be served is not released")
    if not reasons:
        print("Nothing has changed: no training is due.")
    actions.output(due=str(bool(reasons)).lower())
    return reasons
