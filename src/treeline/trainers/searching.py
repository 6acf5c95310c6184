"""How settings are chosen and judged: by a declared strategy, on the same folds."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol

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
from treeline.config.metrics import METRICS, metrics_of
from treeline.config.models import Candidate, Search
from treeline.errors import TrainingError
from treeline.evaluation.metrics import score
from treeline.registry import resolve
from treeline.trainers import TrainingSet, Trial
from treeline.trainers.pipeline import distributions, settings

PREFIX = "estimator__"

ENGINES = {  # where trials run: `search.engine` → a Judge
    "local": "treeline.trainers.searching:judged",
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
        validated = cross_validate(
            configured(pipeline, setting),
            training.frame,
            training.target,
            cv=training.folds,
            scoring=scored,
            n_jobs=jobs,
            error_score="raise",
        )
    per_fold = {
        name: validated[f"test_{name}"].tolist() for name in names if f"test_{name}" in validated
    }
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


STRATEGIES = {
    "grid": "treeline.trainers.searching:listed",
    "halving": "treeline.trainers.searching:halved",
    "optuna": "treeline.trainers.optuna:proposed",
    "random": "treeline.trainers.searching:listed",
}

Scorer = Callable[[Pipeline, pd.DataFrame, NDArray[Any]], float]


@dataclass(frozen=True)
class SearchContext:
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


def strategy_of(search: Search, *, place: str) -> Callable[[SearchContext], list[Trial]]:
    """Return the declared strategy; raises MissingExtraError where its package is missing."""
    strategy: Callable[[SearchContext], list[Trial]] = resolve(
        STRATEGIES, search.strategy, place=f"{_block(place)}.strategy"
    )
    return strategy


def judge_of(search: Search, *, place: str) -> Judge:
    """Return what runs the trials; raises MissingExtraError where its package is missing."""
    judge: Judge = resolve(ENGINES, search.engine, place=f"{_block(place)}.engine")
    return judge


def listed(context: SearchContext) -> list[Trial]:
    """Judge every setting of a grid, or every one drawn at random."""
    return context.trials(settings(context.candidate, context.search), name=context.name)


def halved(context: SearchContext) -> list[Trial]:
    """Judge the one setting that successive halving over the number of rows ends with.

    The last round sees all rows, so that the first sees as many as it can: few rows miss a class.
    """
    if not context.candidate.search:
        return listed(context)
    halving = HalvingRandomSearchCV(
        context.pipeline,
        {f"{PREFIX}{key}": value for key, value in distributions(context.candidate).items()},
        n_candidates=context.search.trials,
        min_resources="exhaust",
        cv=context.training.folds,
        scoring=_scorer(context),
        refit=False,
        random_state=context.search.seed,
        n_jobs=context.search.jobs,
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
        warnings.filterwarnings("ignore", "The total space of parameters")
        halving.fit(context.training.frame, context.training.target)
    best = {key.removeprefix(PREFIX): value for key, value in halving.best_params_.items()}
    return context.trials([best])


def _scorer(context: SearchContext) -> Scorer:
    def scored(estimator: Pipeline, frame: pd.DataFrame, target: NDArray[Any]) -> float:
        values = score(target, predict(estimator, frame), [context.metric])
        return context.merit(Trial({}, {name: [value] for name, value in values.items()}))

    return scored


def _block(place: str) -> str:
    """Return the place of the search that goes with the place of a candidate."""
    return f"{place.partition('.candidates.')[0]}.search"


def within(seconds: float | None, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` returns, whatever it raises raised; no limit is work done right here.

    The clock starts when the process has imported what the arguments need. Raises TimeoutError
    after so many seconds, and EOFError when the process dies (of memory, say).
    """
    if seconds is None:
        return work(*arguments)
    context = get_context("spawn")  # a fork of a process with threads may wait for ever
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        ours.recv()
        if not ours.poll(seconds):
            raise TimeoutError(f"it took longer than {seconds:g} seconds")
        outcome = ours.recv()
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _work(theirs: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    theirs.send("ready")
    try:
        theirs.send(work(*arguments))
    except Exception as error:  # handed to the caller, who waits
        theirs.send(error)
