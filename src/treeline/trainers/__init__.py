"""Who turns a declared candidate into a fitted estimator: protocol and table.

Types alone are imported of what declares and splits: a pickle imports this package too, where
neither can be had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from treeline.artifact import Prediction
from treeline.contract.features import Feature, Label, Task

if TYPE_CHECKING:
    from treeline.config.models import Candidate, Search
    from treeline.preparation.splitting import Fold

TRAINERS = {
    "compare": "treeline.trainers.compare:CompareTrainer",
    "h2o": "treeline.trainers.h2o:H2OTrainer",
    "imported": "treeline.trainers.imported:ImportedTrainer",
    "sklearn": "treeline.trainers.sklearn:SklearnTrainer",
    "spark": "treeline.trainers.spark:SparkTrainer",
}


@dataclass(frozen=True)
class TrainingSet:
    """The training split as estimators see it.

    `frame` is float32 of shape (n_rows, n_features); `target` holds int64 class codes or float64
    values, shape (n_rows,); every candidate is judged on the same `folds`. `classes` are in the
    order of their codes. `metrics` are those that candidates are judged by; where none are named,
    all of the task.
    """

    frame: pd.DataFrame
    target: NDArray[Any]
    features: dict[str, Feature]
    task: Task
    folds: Sequence[Fold]
    classes: tuple[Label, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One setting of the hyperparameters and what each metric was on each fold."""

    hyperparameters: dict[str, Any]
    folds: dict[str, list[float]]


@dataclass(frozen=True)
class Fitted:
    """A candidate after its search: refitted on the whole training split with the best setting.

    `chosen` is the import path or name of what a trainer chose by itself, where it does; `left_out`
    holds what it tried in vain, with the reason.
    """

    estimator: Any
    best: Trial
    trials: list[Trial]
    seconds: float
    chosen: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)


class Trainer(Protocol):
    """A kind of trainer; importing its module is what needs its engine."""

    def fit(
        self,
        training: TrainingSet,
        *,
        candidate: Candidate,
        search: Search,
        metric: str,
        place: str,
    ) -> Fitted:
        """Search, then fit the best setting by `metric`; raises TrainingError naming `place`."""

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with an estimator of this trainer for a float32 frame (n_rows, n_features)."""
