"""The metrics a declaration may name: their tasks, their direction, and where they are computed."""

import re
from dataclasses import dataclass
from typing import Literal

from treeline.contract.features import Task

Judges = Literal["labels", "scores", "values"]
Scale = Literal["share", "error", "explained"]  # from 0 to 1, from 0 up, up to 1


@dataclass(frozen=True)
class Metric:
    """One metric: `judges` says whether it looks at labels, at probabilities or at values.

    `scale` says between which bounds it lies.
    """

    judges: Judges
    higher_is_better: bool
    tasks: tuple[Task, ...]
    scale: Scale
    function: str

    @property
    def sign(self) -> int:
        """1 when higher is better, -1 when lower is."""
        return 1 if self.higher_is_better else -1

    @property
    def ranks(self) -> bool:
        """Whether the order of scores is all that counts, as in the area under the ROC curve."""
        return self.judges == "scores" and self.scale == "share"


_CLASSES: tuple[Task, ...] = ("binary", "multiclass")

# `pinball_90` is the pinball loss of the quantile 0.9: a name for each whole percent.
_QUANTILE = re.compile(r"pinball_([1-9][0-9]?)")
_PINBALL = Metric("values", False, ("regression",), "error", "treeline.evaluation.metrics:pinball")


class Metrics(dict[str, Metric]):
    """The metrics by name, those of a declared quantile among them."""

    def __missing__(self, name: str) -> Metric:
        """Return the metric of a quantile; raises KeyError for a name that is none."""
        if percent_of(name) is None:
            raise KeyError(name)
        return _PINBALL


def percent_of(name: str) -> int | None:
    """Return the percent of a quantile that a metric names: 90 for `pinball_90`, or None."""
    named = _QUANTILE.fullmatch(name)
    return int(named[1]) if named else None


METRICS = Metrics(
    {
        "accuracy": Metric(
            "labels", True, _CLASSES, "share", "treeline.evaluation.metrics:accuracy"
        ),
        "f1": Metric("labels", True, _CLASSES, "share", "treeline.evaluation.metrics:f1"),
        "roc_auc": Metric("scores", True, _CLASSES, "share", "treeline.evaluation.metrics:roc_auc"),
        "average_precision": Metric(
            "scores", True, _CLASSES, "share", "treeline.evaluation.metrics:average_precision"
        ),
        "ks": Metric("scores", True, ("binary",), "share", "treeline.evaluation.metrics:ks"),
        "log_loss": Metric(
            "scores", False, _CLASSES, "error", "treeline.evaluation.metrics:log_loss"
        ),
        "brier": Metric("scores", False, _CLASSES, "error", "treeline.evaluation.metrics:brier"),
        "rmse": Metric(
            "values", False, ("regression",), "error", "treeline.evaluation.metrics:rmse"
        ),
        "mae": Metric("values", False, ("regression",), "error", "treeline.evaluation.metrics:mae"),
        "r2": Metric(
            "values", True, ("regression",), "explained", "treeline.evaluation.metrics:r2"
        ),
    }
)


def metrics_of(task: Task, *declared: str) -> dict[str, Metric]:
    """Return the metrics that make sense for a task, in the order of the table.

    Metrics of a quantile are among them where they are `declared`.
    """
    named = {name: metric for name, metric in METRICS.items() if task in metric.tasks}
    quantiles = [name for name in declared if percent_of(name) is not None]
    return named | {name: METRICS[name] for name in quantiles if task in METRICS[name].tasks}
