"""Trainer `compare`: every suitable estimator with its defaults, ranked, the best few tuned.

All are judged on the same folds as any other candidate. One that fails is told and left out.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import pandas as pd

from treeline.artifact.pickled import predict
from treeline.artifact.prediction import Prediction
from treeline.config.metrics import METRICS
from treeline.config.models import Candidate, Comparing, Search
from treeline.errors import TrainingError
from treeline.trainers import Fitted, TrainingSet, Trial
from treeline.trainers.bounded import within
from treeline.trainers.contenders import MOST_ROWS, candidate_of, contenders, ranges_of
from treeline.trainers.judging import configured
from treeline.trainers.pipeline import build
from treeline.trainers.searching import Hunt, judge_of, strategy_of

Work = Callable[[Hunt], list[Trial]]


@dataclass(frozen=True)
class Entry:
    """An estimator that competes: its import path and class, what judges it, its trials so far."""

    path: str
    made: type
    hunt: Hunt
    trials: tuple[Trial, ...] = ()

    @property
    def best(self) -> Trial:
        """The best trial so far."""
        return max(self.trials, key=self.hunt.merit)

    @property
    def merit(self) -> float:
        """How good the best trial is; more is better."""
        return self.hunt.merit(self.best)


@dataclass(frozen=True)
class Board:
    """How the entries are tried; `left_out` fills with what failed, and why."""

    options: Comparing
    strategy: Work
    left_out: dict[str, str]

    def judged(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that could be judged with their defaults, best first."""
        found = []
        for number, entry in enumerate(entries, start=1):
            tried = self._with_trials(entry, _defaults, entry.path)
            print(f"{entry.hunt.name}: {number}/{len(entries)} {self._told(tried)}", flush=True)
            found += [tried] if tried.trials else []
        return sorted(found, key=lambda entry: -entry.merit)

    def tuned(self, ranked: Sequence[Entry]) -> list[Entry]:
        """Return all entries, the best few of those that can be tuned with more trials."""
        able = [entry.path for entry in ranked if ranges_of(entry.made)][: self.options.tune]
        found = []
        for entry in ranked:
            tried = entry
            if entry.path in able:
                hunted = entry.hunt.candidate.model_copy(update={"search": ranges_of(entry.made)})
                searching = replace(entry, hunt=replace(entry.hunt, candidate=hunted))
                tried = self._with_trials(searching, self.strategy, f"{entry.path} (tuned)")
                print(f"{entry.hunt.name}: tuned {self._told(tried)}", flush=True)
            found.append(tried)
        return found

    def _with_trials(self, entry: Entry, work: Work, name: str) -> Entry:
        """Let an entry be tried; whatever an estimator raises is noted, and it goes without."""
        try:
            made = within(self.options.seconds_each, work, entry.hunt)
            sound = tuple(trial for trial in made if isfinite(entry.hunt.merit(trial)))
            if not sound:
                raise TrainingError(f"its {entry.hunt.metric} is not a finite number")
        except Exception as error:  # whatever a class raises
            reason = (str(error).strip() or "no reason given").split("\n")[0]
            self.left_out[name] = f"{type(error).__name__}: {reason}"
            return entry
        return replace(entry, trials=(*entry.trials, *sound))

    def _told(self, entry: Entry) -> str:
        if not entry.trials:
            return f"{entry.path}: left out: {self.left_out[entry.path]}"
        metric = entry.hunt.metric
        return f"{entry.path}: {metric} {METRICS[metric].sign * entry.merit:.4f}"


class CompareTrainer:
    """Chooses among the estimators of scikit-learn, XGBoost and, where installed, LightGBM."""

    def fit(
        self,
        training: TrainingSet,
        *,
        candidate: Candidate,
        search: Search,
        metric: str,
        place: str,
    ) -> Fitted:
        """Try all, tune the best few, fit the best; raises TrainingError when all fail."""
        started = time.perf_counter()
        options = Comparing.model_validate(candidate.options)
        kind = "random" if search.strategy == "grid" else search.strategy
        tuning = search.model_copy(update={"strategy": kind, "trials": options.trials})
        judge = judge_of(search, place=place)

        def hunt(tried: Candidate) -> Hunt:
            pipeline = build(tried, training.features, seed=search.seed, place=place)
            return Hunt(pipeline, training, tried, tuning, metric, place, judge)

        suitable = contenders(training.task, scores=METRICS[metric].judges == "scores")
        kept = _kept(suitable, options.exclude, place)
        slow = _slow(kept, rows=len(training.frame))
        board = Board(options, strategy_of(tuning, place=place), left_out=slow)
        entries = [
            Entry(path, made, hunt(candidate_of(path, made, training.features, candidate)))
            for path, made in kept.items()
            if path not in slow
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about defaults that nobody declared
            return _fitted(board, entries, started=started, place=place)

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with a fitted pipeline for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


def _fitted(board: Board, entries: Sequence[Entry], *, started: float, place: str) -> Fitted:
    tried = board.tuned(board.judged(entries))
    if not tried:
        told = "; ".join(f"{path}: {why}" for path, why in board.left_out.items())
        raise TrainingError(f"{place}: no estimator could be tried: {told}")
    won = max(tried, key=lambda entry: entry.merit)
    estimator = configured(won.hunt.pipeline, won.best.hyperparameters)
    estimator.fit(won.hunt.training.frame, won.hunt.training.target)
    return Fitted(
        estimator=estimator,
        best=_named(won, won.best),
        trials=[_named(entry, trial) for entry in tried for trial in entry.trials],
        seconds=time.perf_counter() - started,
        chosen=won.path,
        left_out=board.left_out,
    )


def _slow(suitable: Mapping[str, type], *, rows: int) -> dict[str, str]:
    """Return whose time grows too fast for so many rows, and why they are left out."""
    most = {path: MOST_ROWS.get(made.__name__, rows) for path, made in suitable.items()}
    return {
        path: f"it is slow, and tried on {limit:,} rows at most"
        for path, limit in most.items()
        if rows > limit
    }


def _defaults(hunt: Hunt) -> list[Trial]:
    """Judge an estimator as it is."""
    return hunt.trials([{}])


def _named(entry: Entry, trial: Trial) -> Trial:
    """Return a trial that says of which estimator it is, its fixed options included."""
    fixed = {"estimator": entry.path, **entry.hunt.candidate.options}
    return replace(trial, hyperparameters={**fixed, **trial.hyperparameters})


def _kept(suitable: Mapping[str, type], exclude: Sequence[str], place: str) -> dict[str, type]:
    """Return the classes that nobody excluded; raises TrainingError for a name that is none."""
    names = {path: made.__name__ for path, made in suitable.items()}
    if unknown := set(exclude) - {*names, *names.values()}:
        raise TrainingError(
            f"{place}.options.exclude: {min(unknown)!r} would not be tried anyway; "
            f"tried are {', '.join(sorted(names.values()))}"
        )
    return {
        path: made for path, made in suitable.items() if not {path, made.__name__} & set(exclude)
    }
