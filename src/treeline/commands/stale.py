"""Every source, asked again → whether a training is due.

Nothing is decided by time: a run that the schedule lost is made up for by the next one.
"""

import json

from treeline.config import read_params
from treeline.delivery import actions, releasing, storage
from treeline.delivery.processes import run
from treeline.delivery.reproducing import recollect
from treeline.errors import SourceError


def reasons_to_train() -> list[str]:
    """Return, and hand on, why a training is due: stages whose hashes differ, unreleased work."""
    if storage.shared() is None:
        actions.notice("There is no shared remote to keep a model in: no training is due.")
        actions.output(due="false")
        return []
    if failures := recollect(list(read_params().models)):
        raise SourceError("; ".join(f"{each.model}: {each.reason}" for each in failures))
    stages = json.loads(run("dvc", "status", "--json"))
    reasons = [f"{stage} is out of date" for stage in stages]
    if releasing.ships_anew("HEAD"):
        reasons.append("what would be served is not released")
    if not reasons:
        print("Nothing has changed: no training is due.")
    actions.output(due=str(bool(reasons)).lower())
    return reasons
