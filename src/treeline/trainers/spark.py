"""Spark trainer: an estimator of MLlib or XGBoost on Spark → the best setting, fitted, translated.

Spark fits; everything else is as for scikit-learn's estimators: the steps before the estimator, the
folds, the metrics, the strategies. What comes out needs neither Java nor Spark.
"""

import time
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.config.models import Candidate, Search
from treeline.engines.spark import FAILURES, reason, session
from treeline.errors import TrainingError, TreelineError
from treeline.registry import load_class
from treeline.trainers import Fitted, TrainingSet
from treeline.trainers.pipeline import build
from treeline.trainers.searching import SearchContext, configured, judged, strategy_of
from treeline.trainers.translated import kind_of
from treeline.trainers.translated.fitting import OnSpark

SEEDS = ("seed", "random_state")  # what MLlib and XGBoost call it
SILENT = {"verbose": False, "verbosity": 0}  # XGBoost would tell of every tree
OURS = ("threshold", "thresholds")  # and whatever names a column


class SparkTrainer:
    """Fits candidates whose estimator is one of `treeline.trainers.translated.KINDS`."""

    def fit(
        self,
        training: TrainingSet,
        *,
        candidate: Candidate,
        search: Search,
        metric: str,
        place: str,
    ) -> Fitted:
        """Search, then fit the best setting by `metric`.

        Trials follow one another in this process, whatever engine is declared: Spark itself spreads
        each over the cores or the cluster. Raises EngineError, UnknownNameError, and TrainingError
        naming `place`.
        """
        started = time.perf_counter()
        kind_of(candidate.estimator, task=training.task, place=f"{place}.estimator")
        strategy, search = strategy_of(search, place=place), search.model_copy(update={"jobs": 1})
        with session(f"treeline {place}"):
            adapted = _adapted(candidate, seed=search.seed, place=place)
            pipeline = build(adapted, training.features, seed=search.seed, place=place)
            context = SearchContext(pipeline, training, candidate, search, metric, place, judged)
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
                    f"{place}: {candidate.estimator} failed: {_cause(error)}"
                ) from error
        plain = Pipeline([*fitted.steps[:-1], ("estimator", fitted[-1].fitted_)])
        seconds = time.perf_counter() - started
        return Fitted(estimator=plain, best=best, trials=trials, seconds=seconds)

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with a fitted pipeline for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


def _cause(error: Exception) -> str:
    if isinstance(error, FAILURES):
        return reason(error)
    return f"{type(error).__name__}: {str(error).strip()}"


def _adapted(candidate: Candidate, *, seed: int, place: str) -> Candidate:
    """Return the candidate with the class that fits on Spark in the place of Spark's own.

    Raises TrainingError for names that its estimator does not take.
    """
    path = str(candidate.estimator)
    made = load_class(path, place=f"{place}.estimator")
    taken = {parameter.name for parameter in made().params}
    open_ = {name for name in taken if not (name in OURS or name.lower().endswith(("col", "cols")))}
    for block, names in (("options", candidate.options), ("search", candidate.search)):
        if ours := sorted(set(names) & (taken - open_)):
            raise TrainingError(
                f"{place}.{block}: {ours[0]!r} is not open: columns are chosen under `features`, "
                "and the service answers the likeliest class; remove it"
            )
        if unknown := sorted(set(names) - open_):
            raise TrainingError(
                f"{place}.{block}: {path} takes no {unknown[0]!r}; "
                f"it takes {', '.join(sorted(open_))}"
            )
    given = {**dict.fromkeys(SEEDS, seed), **SILENT}
    options = {**{name: given[name] for name in given if name in taken}, **candidate.options}
    try:
        made(**options)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{place}.options: {path} cannot be made: {error}") from error
    return candidate.model_copy(
        update={
            "estimator": f"{OnSpark.__module__}.{OnSpark.__name__}",
            "options": {"path": path, "place": place, **options},
        }
    )
