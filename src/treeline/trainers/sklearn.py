"""scikit-learn trainer: any classes with `fit` and `predict` → the best setting, fitted."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (registers the class below)
from sklearn.model_selection import HalvingRandomSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from treeline.artifact.pickled import predict
from treeline.artifact.prediction import Prediction
from treeline.config.metrics import METRICS, metrics_of
from treeline.config.models import Candidate, Search
from treeline.errors import TrainingError, TreelineError
from treeline.metrics import score
from treeline.trainers import Fitted, TrainingSet, Trial
from treeline.trainers.pipeline import build, distributions, settings

PREFIX = "estimator__"

Scorer = Callable[[Pipeline, pd.DataFrame, NDArray[Any]], float]


class SklearnTrainer:
    """Fits candidates whose estimator is any class with scikit-learn's `fit` and `predict`."""

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
        started = time.perf_counter()
        pipeline = build(candidate, training.features, seed=search.seed, place=place)
        taken = set(pipeline[-1].get_params()) - {"made"}
        if unknown := sorted(set(candidate.search) - taken):
            raise TrainingError(
                f"{place}.search: {candidate.estimator} takes no {unknown[0]!r}; "
                f"it takes {', '.join(sorted(taken)) or 'nothing that can be searched'}"
            )
        try:
            if search.strategy == "halving" and candidate.search:
                scorer = _scorer(metric, place)
                tried = [_halved(pipeline, training, candidate, search, scorer)]
            else:
                tried = settings(candidate, search)
            trials = [
                _trial(pipeline, training, setting, jobs=search.jobs)
                for setting in tqdm(tried, desc=place.rpartition(".")[2], disable=None, leave=False)
            ]
            best = max(trials, key=lambda trial: _merit(trial, metric, place))
            fitted = _set(pipeline, best.hyperparameters).fit(training.frame, training.target)
        except TreelineError:
            raise
        except Exception as error:  # whatever a declared class raises is told with its place
            raise TrainingError(
                f"{place}: {candidate.estimator} failed: {type(error).__name__}: "
                f"{str(error).strip()}"
            ) from error
        seconds = time.perf_counter() - started
        return Fitted(estimator=fitted, best=best, trials=trials, seconds=seconds)

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with a fitted pipeline for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


def _set(pipeline: Pipeline, setting: dict[str, Any]) -> Pipeline:
    chosen = {f"{PREFIX}{key}": value for key, value in setting.items()}
    return clone(pipeline).set_params(**chosen)


def _trial(
    pipeline: Pipeline, training: TrainingSet, setting: dict[str, Any], *, jobs: int
) -> Trial:
    names = list(metrics_of(training.task))

    def scored(estimator: Pipeline, frame: pd.DataFrame, target: NDArray[Any]) -> dict[str, float]:
        return score(target, predict(estimator, frame), names)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = cross_validate(
            _set(pipeline, setting),
            training.frame,
            training.target,
            cv=training.folds,
            scoring=scored,
            n_jobs=jobs,
            error_score="raise",
        )
    per_fold = {name: found[f"test_{name}"].tolist() for name in names if f"test_{name}" in found}
    return Trial(hyperparameters=setting, folds=per_fold)


def _halved(
    pipeline: Pipeline, training: TrainingSet, candidate: Candidate, search: Search, scorer: Scorer
) -> dict[str, Any]:
    """Return the setting that successive halving over the number of rows ends with.

    The last round sees all rows, so that the first sees as many as it can: few rows miss a class.
    """
    halving = HalvingRandomSearchCV(
        pipeline,
        {f"{PREFIX}{key}": value for key, value in distributions(candidate).items()},
        n_candidates=search.trials,
        min_resources="exhaust",
        cv=training.folds,
        scoring=scorer,
        refit=False,
        random_state=search.seed,
        n_jobs=search.jobs,
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
        warnings.filterwarnings("ignore", "The total space of parameters")
        halving.fit(training.frame, training.target)
    return {key.removeprefix(PREFIX): value for key, value in halving.best_params_.items()}


def _scorer(metric: str, place: str) -> Scorer:
    def merit(estimator: Pipeline, frame: pd.DataFrame, target: NDArray[Any]) -> float:
        found = score(target, predict(estimator, frame), [metric])
        return _merit(Trial({}, {name: [value] for name, value in found.items()}), metric, place)

    return merit


def _merit(trial: Trial, metric: str, place: str) -> float:
    if metric not in trial.folds:
        raise TrainingError(
            f"{place}: the champion metric {metric} needs probabilities, and this estimator gives "
            "none; choose a metric of labels, or wrap it in "
            "sklearn.calibration.CalibratedClassifierCV"
        )
    return METRICS[metric].sign * float(np.mean(trial.folds[metric]))
