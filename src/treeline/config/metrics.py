"""The metrics a declaration may name: their tasks, their direction, and where they are computed."""

from dataclasses import dataclass
from typing import Literal

from treeline.contract.features import Task

Judges = Literal["labels", "scores", "values"]


@dataclass(frozen=True)
class Metric:
    """One metric: `judges` says whether it looks at labels, at probabilities or at values."""

    judges: Judges
    higher_is_better: bool
    tasks: tuple[Task, ...]
    function: str

    @property
    def sign(self) -> int:
        """1 when higher is better, -1 when lower is."""
        return 1 if self.higher_is_better else -1


_CLASSES: tuple[Task, ...] = ("binary", "multiclass")

METRICS = {
    "accuracy": Metric("labels", True, _CLASSES, "treeline.metrics:accuracy"),
    "f1": Metric("labels", True, _CLASSES, "treeline.metrics:f1"),
    "roc_auc": Metric("scores", True, _CLASSES, "treeline.metrics:roc_auc"),
    "ks": Metric("scores", True, ("binary",), "treeline.metrics:ks"),
    "log_loss": Metric("scores", False, _CLASSES, "treeline.metrics:log_loss"),
    "brier": Metric("scores", False, _CLASSES, "treeline.metrics:brier"),
    "rmse": Metric("values", False, ("regression",), "treeline.metrics:rmse"),
    "mae": Metric("values", False, ("regression",), "treeline.metrics:mae"),
    "r2": Metric("values", True, ("regression",), "treeline.metrics:r2"),
}


def metrics_of(task: Task) -> dict[str, Metric]:
    """Return the metrics that make sense for a task, in the order of the table."""
    return {name: metric for name, metric in METRICS.items() if task in metric.tasks}
