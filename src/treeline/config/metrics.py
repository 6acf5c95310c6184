"""The metrics a declaration may name: their tasks, their direction, and where they are computed."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from treeline.config.own_metrics import is_path, read_metric
from treeline.contract.features import Task
from treeline.errors import MetricError

Judges = Literal["labels", "scores", "values"]
# Between which bounds it lies: from 0 to 1, from 0 up, up to 1, none.
Scale = Literal["share", "error", "explained", "plain"]


@dataclass(frozen=True)
class Metric:
    """One metric: `judges` says whether it looks at labels, at probabilities or at values.

    `scale` says between which bounds it lies; `by_row`, that it is the mean of a number for each
    row; `ranks`, that the order of scores is all that counts, as in the area under the ROC curve.
    `function` leads to what computes it, or `own` does so: the object of a class of one's own.
    """

    judges: Judges
    higher_is_better: bool
    tasks: tuple[Task, ...]
    scale: Scale
    function: str = ""
    by_row: bool = False
    ranks: bool = False
    own: Any = None

    @property
    def sign(self) -> int:
        """1 when higher is better, -1 when lower is."""
        return 1 if self.higher_is_better else -1


_CLASSES: tuple[Task, ...] = ("binary", "multiclass")

# `pinball_90` is the pinball loss of the quantile 0.9: a name for each whole percent.
_QUANTILE = re.compile(r"pinball_([1-9][0-9]?)")
_PINBALL = Metric(
    "values", False, ("regression",), "error", "treeline.evaluation.metrics:pinball", by_row=True
)


class Metrics(dict[str, Metric]):
    """The metrics by name, those of a declared quantile and of an import path among them."""

    def __missing__(self, name: str) -> Metric:
        """Return the metric of a quantile, or of a class by its import path.

        Raises KeyError for a name that is none, and UnknownNameError or MetricError for a class.
        """
        if is_path(name):
            return Metric(**read_metric(name))
        if percent_of(name) is None:
            raise KeyError(name)
        return _PINBALL


def percent_of(name: str) -> int | None:
    """Return the percent of a quantile that a metric names: 90 for `pinball_90`, or None."""
    named = _QUANTILE.fullmatch(name)
    return int(named[1]) if named else None


_HERE = "treeline.evaluation.metrics"
METRICS = Metrics(
    {
        "accuracy": Metric("labels", True, _CLASSES, "share", f"{_HERE}:accuracy", by_row=True),
        "f1": Metric("labels", True, _CLASSES, "share", f"{_HERE}:f1"),
        "roc_auc": Metric("scores", True, _CLASSES, "share", f"{_HERE}:roc_auc", ranks=True),
        "average_precision": Metric(
            "scores", True, _CLASSES, "share", f"{_HERE}:average_precision", ranks=True
        ),
        "ks": Metric("scores", True, ("binary",), "share", f"{_HERE}:ks", ranks=True),
        "log_loss": Metric("scores", False, _CLASSES, "error", f"{_HERE}:log_loss", by_row=True),
        "brier": Metric("scores", False, _CLASSES, "error", f"{_HERE}:brier", by_row=True),
        "rmse": Metric("values", False, ("regression",), "error", f"{_HERE}:rmse"),
        "mae": Metric("values", False, ("regression",), "error", f"{_HERE}:mae", by_row=True),
        "r2": Metric("values", True, ("regression",), "explained", f"{_HERE}:r2"),
    }
)


def metric_for(task: Task, name: str) -> Metric:
    """Return a metric by its name or import path, which is to judge a model of this task.

    Raises UnknownNameError and MetricError for a class that is none, or is for other tasks.
    """
    metric = METRICS[name]
    if task not in metric.tasks:
        raise MetricError(
            f"{name}: it judges {metric.judges} of {' and '.join(metric.tasks)}, and the target is "
            f"{task}; name another, or add it to its `tasks`"
        )
    return metric


def metrics_of(task: Task, *declared: str) -> dict[str, Metric]:
    """Return the metrics that make sense for a task, in the order of the table.

    Metrics of a quantile are among them where they are `declared`.
    """
    named = {name: metric for name, metric in METRICS.items() if task in metric.tasks}
    quantiles = [name for name in declared if percent_of(name) is not None]
    return named | {name: METRICS[name] for name in quantiles if task in METRICS[name].tasks}
