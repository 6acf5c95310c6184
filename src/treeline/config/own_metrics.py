"""A metric by its import path → what its class says of it: what it judges, and which way is better.

The class has no options. It says `judges` and `greater_is_better`, may say `tasks`, `scale` and
`ranks`, and has one of two methods: `per_row`, whose mean is the metric, or `overall`.
"""

import re
from functools import lru_cache
from typing import Any, get_args

from treeline.contract.features import Task
from treeline.errors import MetricError
from treeline.registry import admit_own_classes, load_class, objection

TASKS: dict[str, tuple[Task, ...]] = {
    "labels": ("binary", "multiclass"),
    "scores": ("binary", "multiclass"),
    "values": ("regression",),
}
SCALES = ("error", "explained", "plain", "share")
METHODS = ("per_row", "overall")
PATH = re.compile(r"[^\W\d]\w*([.:][^\W\d]\w*)+")  # with a colon too, which is told of


def is_path(name: str) -> bool:
    """Tell whether a metric is named by an import path, as one of one's own is."""
    return PATH.fullmatch(name) is not None


def check_path(name: str, place: str) -> None:
    """Raise ValueError for a path that is none, or that leads where no stage follows.

    Nothing is imported. A path that leads nowhere is `read_metric`'s to refuse.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        right = name.replace(":", ".")
        raise ValueError(f"`{place}` names {name!r}; write an import path with dots: {right}")
    if (reason := objection(name)) is not None:
        raise ValueError(f"`{place}`: {reason}")


def is_metric(declared: type) -> bool:
    """Tell whether a class is meant for a metric: it says what it judges, or has its method."""
    return any(hasattr(declared, name) for name in ("judges", *METHODS))


def read_metric(path: str) -> dict[str, Any]:
    """Return what the class behind an import path says, as the fields of a metric.

    Raises UnknownNameError where there is no class, and MetricError where it does not say enough.
    """
    admit_own_classes()
    return dict(_said(load_class(path, place="metric"), path))


@lru_cache(maxsize=64)
def _said(declared: type, path: str) -> tuple[tuple[str, Any], ...]:
    judges = getattr(declared, "judges", None)
    if judges not in TASKS:
        raise MetricError(f"{path}: `judges` is {judges!r}; say labels, scores or values")
    better = getattr(declared, "greater_is_better", None)
    if not isinstance(better, bool):
        raise MetricError(f"{path}: `greater_is_better` is {better!r}; say True or False")
    scale = getattr(declared, "scale", "plain")
    if scale not in SCALES:
        raise MetricError(
            f"{path}: `scale` is {scale!r}; say share (from 0 to 1), error (from 0 up), explained "
            "(up to 1), or nothing, where it has no bound"
        )
    methods = [name for name in METHODS if callable(getattr(declared, name, None))]
    if len(methods) != 1:
        which = "both" if methods else "neither"
        raise MetricError(
            f"{path}: has {which} of `per_row(truth, {judges})`, a number for each row whose mean "
            f"is the metric, and `overall(truth, {judges})`, the number itself; define one"
        )
    by_row, ranks = methods == ["per_row"], bool(getattr(declared, "ranks", False))
    if ranks and (by_row or judges != "scores"):
        raise MetricError(
            f"{path}: `ranks` is said of what looks at the order of all scores; leave it out"
        )
    said = {
        "judges": judges,
        "higher_is_better": better,
        "tasks": _tasks(declared, path, TASKS[judges]),
        "scale": scale,
        "by_row": by_row,
        "ranks": ranks,
        "own": _made(declared, path),
    }
    return tuple(said.items())


def _tasks(declared: type, path: str, usual: tuple[Task, ...]) -> tuple[Task, ...]:
    tasks = getattr(declared, "tasks", usual)
    tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    if not tasks or set(tasks) - set(usual):
        known = ", ".join(get_args(Task))
        raise MetricError(
            f"{path}: `tasks` is {tasks!r}; say some of {', '.join(usual)}, which is what has "
            f"{declared.judges} (of {known})"  # type: ignore[attr-defined]
        )
    return tasks


def _made(declared: type, path: str) -> Any:
    try:
        return declared()
    except Exception as error:  # whatever a class of one's own raises
        raise MetricError(
            f"{path}: {type(error).__name__}: {error}; a metric is made without options: give each "
            "argument of its __init__ a default"
        ) from error
