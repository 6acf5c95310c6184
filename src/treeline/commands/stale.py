"""Every source, asked again → whether a training is due.

Nothing is decided by time: a run that the schedule lost is made up for by the next one.
"""

from treeline.config import read_params
from treeline.delivery import actions, refusals, releasing, storage
from treeline.delivery.pipeline import out_of_date, recollect
from treeline.errors import SourceError


def reasons_to_train() -> list[str]:
    """Return, and hand on, why a training is due: stages whose hashes differ, unreleased work.

    A model that was refused with the same inputs is no reason: it would be refused again.
    """
    if storage.shared() is None:
        actions.notice("There is no shared remote to keep a model in: no training is due.")
        actions.output(due="false")
        return []
    models = list(read_params().models)
    if failures := recollect(models):
        raise SourceError("; ".join(f"{each.model}: {each.reason}" for each in failures))
    repeated = refusals.repeated(models)
    for name, each in repeated.items():
        print(f"{name} was refused at {each.commit[:12]} with the same inputs: {each.reason}")
    stages = [stage for stage in out_of_date() if stage.partition("@")[2] not in repeated]
    reasons = [f"{stage} is out of date" for stage in stages]
    if releasing.ships_anew(releasing.entry_for("HEAD", held=repeated), releasing.last()):
        reasons.append("what would be served is not released")
    if not reasons:
        print("Nothing has changed: no training is due.")
    actions.output(due=str(bool(reasons)).lower())
    return reasons
