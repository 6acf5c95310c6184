"""Settings of a candidate → trials: each setting cross-validated on the same folds."""

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from treeline.artifact.pickled import predict
from treeline.config.metrics import METRICS, metrics_of
from treeline.errors import TrainingError
from treeline.metrics import score
from treeline.trainers import TrainingSet, Trial

PREFIX = "estimator__"

ENGINES = {  # where trials run: `search.engine` → a Judge
    "local": "treeline.trainers.judging:judged",
    "spark": "treeline.trainers.on_spark:judged",
}


class Judge(Protocol):
    """Cross-validates settings; whatever the estimator raises comes through."""

    def __call__(
        self,
        pipeline: Pipeline,
        training: TrainingSet,
        settings: Sequence[dict[str, Any]],
        *,
        jobs: int,
        name: str,
    ) -> list[Trial]:
        """Return a trial for each setting, in order; progress is shown under `name`, if any."""


def judged(
    pipeline: Pipeline,
    training: TrainingSet,
    settings: Sequence[dict[str, Any]],
    *,
    jobs: int,
    name: str,
) -> list[Trial]:
    """Judge the settings one after the other on this machine, the folds in `jobs` processes."""
    shown = tqdm(settings, desc=name, disable=None if name else True, leave=False)
    return [trial(pipeline, training, setting, jobs=jobs) for setting in shown]


def trial(
    pipeline: Pipeline, training: TrainingSet, setting: dict[str, Any], *, jobs: int
) -> Trial:
    """Cross-validate one setting by every metric of the task that the estimator allows."""
    names = list(training.metrics or metrics_of(training.task))

    def scored(estimator: Pipeline, frame: pd.DataFrame, target: NDArray[Any]) -> dict[str, float]:
        return score(target, predict(estimator, frame), names)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = cross_validate(
            configured(pipeline, setting),
            training.frame,
            training.target,
            cv=training.folds,
            scoring=scored,
            n_jobs=jobs,
            error_score="raise",
        )
    per_fold = {name: found[f"test_{name}"].tolist() for name in names if f"test_{name}" in found}
    return Trial(hyperparameters=setting, folds=per_fold)


def configured(pipeline: Pipeline, setting: dict[str, Any]) -> Pipeline:
    """Return an unfitted copy whose estimator has the hyperparameters of a setting."""
    chosen = {f"{PREFIX}{key}": value for key, value in setting.items()}
    return clone(pipeline).set_params(**chosen)


def merit(trial: Trial, metric: str, place: str) -> float:
    """Return the mean of a metric over the folds, signed so that more is better.

    Raises TrainingError naming `place` where the metric needs probabilities that are not there.
    """
    if metric not in trial.folds:
        raise TrainingError(
            f"{place}: the champion metric {metric} needs probabilities, and this estimator gives "
            "none; choose a metric of labels, or wrap it in "
            "sklearn.calibration.CalibratedClassifierCV"
        )
    return METRICS[metric].sign * float(np.mean(trial.folds[metric]))
