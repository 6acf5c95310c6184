"""scikit-learn trainer: any classes with `fit` and `predict` → the best setting, fitted."""

import time
from functools import partial
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate, Search
from treeline.errors import TrainingError, TreelineError
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.options import as_declared, names_columns, placed
from treeline.trainers.pipeline import build
from treeline.trainers.searching import SearchContext, configured, judge_of, strategy_of


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
        strategy, judge = strategy_of(search, place=place), judge_of(search, place=place)
        made = partial(build, features=training.features, seed=search.seed, place=place)
        tried = candidate
        if names_columns(candidate):
            tried = placed(candidate, training, made, place=place)
        pipeline = made(tried)
        _refuse_unknown(candidate, pipeline, place)
        context = SearchContext(pipeline, training, tried, search, metric, place, judge)
        try:
            trials = strategy(context)
            best = max(trials, key=context.merit)
            chosen = configured(pipeline, best.hyperparameters)
            fitted = chosen.fit(training.frame, training.target)
        except TreelineError:
            raise
        except (
            Exception
        ) as error:  # whatever a declared class raises is raised again with its place
            raise TrainingError(
                f"{place}: {candidate.estimator} failed: {type(error).__name__}: "
                f"{str(error).strip()}"
            ) from error
        seconds = time.perf_counter() - started
        named = {id(each): as_declared(each, candidate, tried) for each in trials}
        return Fitted(
            estimator=fitted, best=named[id(best)], trials=[*named.values()], seconds=seconds
        )

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with a fitted pipeline for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


def _refuse_unknown(candidate: Candidate, pipeline: Pipeline, place: str) -> None:
    taken = set(pipeline[-1].get_params()) - {"made"}
    if unknown := sorted(set(candidate.search) - taken):
        raise TrainingError(
            f"{place}.search: {candidate.estimator} takes no {unknown[0]!r}; "
            f"it takes {', '.join(sorted(taken)) or 'nothing that can be searched'}"
        )
