"""A metric by its import path → what it keeps of what the pipeline needs, one finding each.

It is asked as the pipeline asks it, about answers that are drawn, right ones and worse ones.
"""

import pickle
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from treeline.config.metrics import METRICS, Metric, metric_for
from treeline.contract.features import Task
from treeline.errors import MetricError, TreelineError
from treeline.evaluation.own import checked, influence, perfect, value
from treeline.workbench.finding import Finding, held

ROWS = 600
CLASSES: dict[Task, int] = {"binary": 2, "multiclass": 3, "regression": 0}
Array = NDArray[np.float64] | NDArray[np.int64]


def looked_at(path: str, *, task: Task | None = None) -> list[Finding]:
    """Look at a metric, for each of its tasks or for one; raises UnknownNameError for no class."""
    try:
        metric = METRICS[path] if task is None else metric_for(task, path)
    except MetricError as error:
        return [Finding("wrong", str(error))]
    findings = [_travelling(metric)]
    for each in metric.tasks if task is None else (task,):
        try:
            findings += _answers(path, metric, each)
        except TreelineError as error:
            findings.append(Finding("wrong", f"{each}: {error}"))
    return findings


def _travelling(metric: Metric) -> Finding:
    try:
        again = pickle.loads(pickle.dumps(metric.own))
        good = type(again) is type(metric.own)
    except Exception:  # whatever it holds that cannot be pickled
        good = False
    return held(
        good,
        "it travels as a pickle",
        "it cannot be pickled; keep no open file, lambda or lock in it",
    )


def _answers(path: str, metric: Metric, task: Task) -> Iterator[Finding]:
    """Yield what is found; MetricError comes through."""
    truth, right, blurred = _drawn(metric, task)
    best = checked(path, metric, truth, right)
    yield Finding("ok", f"{task}: it gives a number, twice the same, and changes nothing")
    order = np.random.default_rng(1).permutation(ROWS)
    worst = value(path, metric, truth, right[order])
    yield held(
        metric.sign * (best - worst) >= 0,
        f"{task}: right answers ({best:g}) are no worse than shuffled ones ({worst:g})",
        f"{task}: right answers ({best:g}) are worse than shuffled ones ({worst:g}); is "
        "`greater_is_better` the other way round?",
    )
    before, after = (
        value(path, metric, truth[rows], blurred[rows]) for rows in (np.arange(ROWS), order)
    )
    yield held(
        bool(np.isclose(before, after, rtol=1e-9, atol=1e-12)),
        f"{task}: the order of the rows changes nothing",
        f"{task}: rows in another order give {after:g}, not {before:g}; look at no row's place",
    )
    if task != "regression":
        alone = truth == truth[0]
        try:
            value(path, metric, truth[alone], blurred[alone])
        except MetricError as error:
            yield Finding(
                "wrong",
                f"{task}: on rows of one class alone, as a slice may have: {error}; return NaN "
                "where it is not defined",
            )
    moves = influence(path, metric, truth, blurred, np.arange(ROWS) % (ROWS // 6))
    how = "exact: a number for each row" if metric.by_row else "by leaving out parts of the rows"
    yield held(
        bool(np.isfinite(moves).all()),
        f"{task}: intervals are {how}",
        f"{task}: it is not a number without some of the rows; let it be one",
    )


def _drawn(metric: Metric, task: Task) -> tuple[Array, Array, Array]:
    """Return the truth of ROWS rows, answers that are right, and some that mostly are."""
    chance, classes = np.random.default_rng(0), CLASSES[task]
    if task == "regression":
        truth = chance.normal(10, 3, ROWS)
        return truth, np.array(truth), truth + chance.normal(0, 1, ROWS)
    codes = chance.integers(0, classes, ROWS)
    weights = chance.dirichlet(np.ones(classes), ROWS) + np.eye(classes)[codes]
    scores = weights / weights.sum(axis=1, keepdims=True)
    blurred = scores if metric.judges == "scores" else scores.argmax(axis=1)
    return codes, perfect(metric, codes, classes), blurred
