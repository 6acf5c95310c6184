"""How settings are chosen: a strategy, looked up by the name declared as `search.strategy`."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (registers the class below)
from sklearn.model_selection import HalvingRandomSearchCV
from sklearn.pipeline import Pipeline

from treeline.artifact.pickled import predict
from treeline.config.models import Candidate, Search
from treeline.metrics import score
from treeline.registry import resolve
from treeline.trainers import TrainingSet, Trial
from treeline.trainers.judging import ENGINES, PREFIX, Judge, merit
from treeline.trainers.pipeline import distributions, settings

STRATEGIES = {
    "grid": "treeline.trainers.searching:listed",
    "halving": "treeline.trainers.searching:halved",
    "optuna": "treeline.trainers.optuna:proposed",
    "random": "treeline.trainers.searching:listed",
}

Scorer = Callable[[Pipeline, pd.DataFrame, NDArray[Any]], float]


@dataclass(frozen=True)
class Hunt:
    """What a strategy needs to find the best setting of one candidate."""

    pipeline: Pipeline
    training: TrainingSet
    candidate: Candidate
    search: Search
    metric: str
    place: str
    judge: Judge

    @property
    def name(self) -> str:
        """The name of the candidate."""
        return self.place.rpartition(".")[2]

    def trials(self, settings: Sequence[dict[str, Any]], *, name: str = "") -> list[Trial]:
        """Judge settings where the declared engine does; `name` is what progress is called."""
        return self.judge(self.pipeline, self.training, settings, jobs=self.search.jobs, name=name)

    def merit(self, trial: Trial) -> float:
        """Return how good a trial is by the champion metric; more is better."""
        return merit(trial, self.metric, self.place)


def strategy_of(search: Search, *, place: str) -> Callable[[Hunt], list[Trial]]:
    """Return the declared strategy; raises MissingExtraError where its package is missing."""
    found: Callable[[Hunt], list[Trial]] = resolve(
        STRATEGIES, search.strategy, place=f"{_block(place)}.strategy"
    )
    return found


def judge_of(search: Search, *, place: str) -> Judge:
    """Return what runs the trials; raises MissingExtraError where its package is missing."""
    found: Judge = resolve(ENGINES, search.engine, place=f"{_block(place)}.engine")
    return found


def listed(hunt: Hunt) -> list[Trial]:
    """Judge every setting of a grid, or every one drawn at random."""
    return hunt.trials(settings(hunt.candidate, hunt.search), name=hunt.name)


def halved(hunt: Hunt) -> list[Trial]:
    """Judge the one setting that successive halving over the number of rows ends with.

    The last round sees all rows, so that the first sees as many as it can: few rows miss a class.
    """
    if not hunt.candidate.search:
        return listed(hunt)
    halving = HalvingRandomSearchCV(
        hunt.pipeline,
        {f"{PREFIX}{key}": value for key, value in distributions(hunt.candidate).items()},
        n_candidates=hunt.search.trials,
        min_resources="exhaust",
        cv=hunt.training.folds,
        scoring=_scorer(hunt),
        refit=False,
        random_state=hunt.search.seed,
        n_jobs=hunt.search.jobs,
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
        warnings.filterwarnings("ignore", "The total space of parameters")
        halving.fit(hunt.training.frame, hunt.training.target)
    best = {key.removeprefix(PREFIX): value for key, value in halving.best_params_.items()}
    return hunt.trials([best])


def _scorer(hunt: Hunt) -> Scorer:
    def scored(estimator: Pipeline, frame: pd.DataFrame, target: NDArray[Any]) -> float:
        found = score(target, predict(estimator, frame), [hunt.metric])
        return hunt.merit(Trial({}, {name: [value] for name, value in found.items()}))

    return scored


def _block(place: str) -> str:
    """Return the place of the search that goes with the place of a candidate."""
    return f"{place.partition('.candidates.')[0]}.search"
