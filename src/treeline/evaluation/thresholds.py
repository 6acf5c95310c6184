"""Scores of a binary target → what each threshold finds, misses and costs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.config.evaluation import Costs

STEPS = tuple(round(0.1 * step, 1) for step in range(1, 10))
PER_ROWS = 100  # costs are told for so many rows

Array = NDArray[Any]


def thresholds(hit: Array, score: Array, costs: Costs | None) -> dict[str, Any]:
    """Return precision, recall and the rows above each threshold, and with `costs` the cheapest.

    `hit` is bool and `score` the probability of the positive class, both of shape (n_rows,). A row
    is called positive where its score is at least the threshold. `of_costs` is the threshold that
    the costs alone give where probabilities are right: that of a false alarm over both (Elkan
    2001). `cheapest` was found on these rows, and flatters them a little.
    """
    table = [_at(threshold, hit, score, costs) for threshold in STEPS]
    if costs is None:
        return {"table": table}
    of_costs = costs.false_alarm / (costs.false_alarm + costs.miss)
    nobody = np.nextafter(score.max(), 2)  # where an alarm costs more than any miss
    tried = np.unique([*np.quantile(score, np.linspace(0, 1, 201)), nobody])
    entries = [_at(float(threshold), hit, score, costs) for threshold in tried]
    return {
        "table": table,
        "costs": costs.model_dump(),
        "of_costs": _at(of_costs, hit, score, costs),
        "cheapest": min(entries, key=lambda entry: entry["cost"]),
    }


def _at(threshold: float, hit: Array, score: Array, costs: Costs | None) -> dict[str, Any]:
    called = score >= threshold
    found, missed = int((called & hit).sum()), int((~called & hit).sum())
    alarms = int((called & ~hit).sum())
    entry = {
        "threshold": float(f"{threshold:.4g}"),
        "called": round(float(called.mean()), 4),
        "precision": round(found / (found + alarms), 4) if found + alarms else None,
        "recall": round(found / (found + missed), 4) if found + missed else None,
    }
    if costs is not None:
        whole = alarms * costs.false_alarm + missed * costs.miss
        entry["cost"] = round(whole / len(hit) * PER_ROWS, 4)
    return entry
