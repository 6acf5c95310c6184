"""Trainer `compare`: every suitable estimator with its defaults, ranked, the best few tuned.

All are judged on the same folds as any other candidate. One that fails is left out, with the
reason.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import pandas as pd
from sklearn.utils import all_estimators, get_tags

from treeline.artifact import Prediction
from treeline.artifact.pickled import predict
from treeline.config.blocks import Comparing
from treeline.config.metrics import METRICS
from treeline.config.models import Candidate, Search, Span
from treeline.contract.features import Feature, Task
from treeline.errors import TrainingError, UnknownNameError, first_line
from treeline.registry import load_class
from treeline.trainers import Fitted, TrainingSet, Trial
from treeline.trainers.pipeline import build
from treeline.trainers.searching import SearchContext, configured, judge_of, strategy_of, within

KINDS: dict[Task, str] = {
    "binary": "classifier",
    "multiclass": "classifier",
    "regression": "regressor",
}
BESIDES = {  # of other libraries, where they are installed
    "classifier": ("xgboost.XGBClassifier", "lightgbm.LGBMClassifier"),
    "regressor": ("xgboost.XGBRegressor", "lightgbm.LGBMRegressor"),
}
EXCLUDED = {
    "is what the baseline is": ("DummyClassifier", "DummyRegressor"),
    "wraps another estimator": ("CalibratedClassifierCV", "TransformedTargetRegressor"),
    "searches by itself, on folds that know no groups, what is tuned here": (
        *("ElasticNetCV", "LarsCV", "LassoCV", "LassoLarsCV", "LogisticRegressionCV"),
        *("MultiTaskElasticNetCV", "MultiTaskLassoCV", "OrthogonalMatchingPursuitCV"),
        *("RidgeCV", "RidgeClassifierCV"),
    ),
    "learns from rows without a label": (
        *("LabelPropagation", "LabelSpreading", "SelfTrainingClassifier"),
    ),
    "is for several targets at once": (
        *("CCA", "MultiTaskElasticNet", "MultiTaskLasso", "PLSCanonical"),
    ),
    "takes counts or categories alone": ("CategoricalNB", "ComplementNB", "MultinomialNB"),
    "takes one column alone": ("IsotonicRegression",),
    "has a radius that fits no scale": ("RadiusNeighborsClassifier", "RadiusNeighborsRegressor"),
    "is one tree of those that ExtraTrees averages": ("ExtraTreeClassifier", "ExtraTreeRegressor"),
    "is given up by scikit-learn for SGD": (
        *("PassiveAggressiveClassifier", "PassiveAggressiveRegressor"),
    ),
}
MOST_ROWS = {  # of those whose time or memory grows with the square or the cube of the rows
    "GaussianProcessClassifier": 1_000,
    "GaussianProcessRegressor": 3_000,
    "KernelRidge": 5_000,
    "NuSVC": 20_000,
    "NuSVR": 20_000,
    "QuantileRegressor": 10_000,
    "SVC": 20_000,
    "SVR": 20_000,
    "TheilSenRegressor": 20_000,
}
OPTIONS: dict[str, dict[str, Any]] = {  # where a default is a nuisance
    "KNeighborsClassifier": {"algorithm": "kd_tree"},  # others break ties as the threads come
    "KNeighborsRegressor": {"algorithm": "kd_tree"},
    "LGBMClassifier": {"verbose": -1},
    "LGBMRegressor": {"verbose": -1},
    "LogisticRegression": {"max_iter": 1000},
}
# A split of a tree may stand anywhere between two values, so that scaling gives it nothing; and
# where a scaler rounds other than its converter does, a row changes its side of a split.
TREES = ("sklearn.ensemble.", "sklearn.tree.", "xgboost.", "lightgbm.")

_SHARE = Span(low=0.3, high=1)
_RATE = Span(low=0.01, high=0.3, log=True)
_DEPTH = Span(low=2, high=10, integer=True)
_LEAF = Span(low=1, high=50, integer=True, log=True)
_COUNT = Span(low=50, high=500, integer=True, log=True)
_PENALTY = Span(low=1e-4, high=1e2, log=True)
_SLACK = Span(low=1e-2, high=1e2, log=True)
_FEATURES = ("sqrt", 0.3, 0.5, 1.0)

RANGES: dict[str, dict[str, tuple[Any, ...] | Span]] = {
    "AdaBoost": {"learning_rate": Span(low=0.01, high=2, log=True), "n_estimators": _COUNT},
    "Bagging": {"max_features": _SHARE, "max_samples": _SHARE, "n_estimators": (30, 100)},
    "BernoulliNB": {"alpha": _PENALTY},
    "DecisionTree": {"max_depth": _DEPTH, "min_samples_leaf": _LEAF},
    "ElasticNet": {"alpha": _PENALTY, "l1_ratio": Span(low=0.05, high=1)},
    "ExtraTrees": {
        "max_features": _FEATURES,
        "min_samples_leaf": _LEAF,
        "n_estimators": (100, 300),
    },
    "Gamma": {"alpha": _PENALTY},
    "GaussianNB": {"var_smoothing": Span(low=1e-11, high=1e-1, log=True)},
    "GradientBoosting": {
        "learning_rate": _RATE,
        "max_depth": Span(low=1, high=6, integer=True),
        "n_estimators": _COUNT,
        "subsample": _SHARE,
    },
    "HistGradientBoosting": {
        "l2_regularization": _PENALTY,
        "learning_rate": _RATE,
        "max_iter": _COUNT,
        "max_leaf_nodes": Span(low=4, high=64, integer=True, log=True),
        "min_samples_leaf": Span(low=5, high=100, integer=True, log=True),
    },
    "Huber": {"alpha": _PENALTY, "epsilon": Span(low=1.05, high=3)},
    "KNeighbors": {
        "n_neighbors": Span(low=3, high=100, integer=True, log=True),
        "weights": ("uniform", "distance"),
    },
    "KernelRidge": {"alpha": _PENALTY, "kernel": ("linear", "rbf", "laplacian")},
    "LGBM": {
        "colsample_bytree": _SHARE,
        "learning_rate": _RATE,
        "min_child_samples": Span(low=5, high=100, integer=True, log=True),
        "n_estimators": _COUNT,
        "num_leaves": Span(low=4, high=64, integer=True, log=True),
    },
    "Lasso": {"alpha": _PENALTY},
    "LassoLars": {"alpha": _PENALTY},
    "LinearDiscriminantAnalysis": {"shrinkage": Span(low=0, high=1), "solver": ("lsqr",)},
    "LinearSVC": {"C": _SLACK},
    "LinearSVR": {"C": _SLACK},
    "LogisticRegression": {"C": Span(low=1e-3, high=1e3, log=True)},
    "MLP": {
        "alpha": Span(low=1e-5, high=1e-1, log=True),
        "hidden_layer_sizes": ((50,), (100,), (50, 50)),
        "learning_rate_init": Span(low=1e-4, high=1e-2, log=True),
    },
    "NuSVR": {"C": _SLACK, "nu": Span(low=0.1, high=0.9)},
    "Poisson": {"alpha": _PENALTY},
    "QuadraticDiscriminantAnalysis": {"reg_param": Span(low=0, high=1)},
    "RandomForest": {
        "max_features": _FEATURES,
        "min_samples_leaf": _LEAF,
        "n_estimators": (100, 300),
    },
    "Ridge": {"alpha": _PENALTY},
    "SGD": {"alpha": Span(low=1e-6, high=1e-1, log=True)},
    "SVC": {"C": _SLACK, "gamma": Span(low=1e-3, high=1, log=True)},
    "SVR": {"C": _SLACK, "gamma": Span(low=1e-3, high=1, log=True)},
    "Tweedie": {"alpha": _PENALTY},
    "XGB": {
        "colsample_bytree": _SHARE,
        "learning_rate": _RATE,
        "max_depth": _DEPTH,
        "min_child_weight": Span(low=0.5, high=20, log=True),
        "n_estimators": _COUNT,
        "subsample": _SHARE,
    },
}


def contenders(task: Task, *, scores: bool) -> dict[str, type]:
    """Return the classes for a task by their import paths, in the order of their names.

    With `scores` only those that give probabilities; never one that needs another estimator.
    """
    kind = KINDS[task]
    out = {name for names in EXCLUDED.values() for name in names}
    classes = {
        _path(made): made for name, made in all_estimators(type_filter=kind) if name not in out
    }
    for path in BESIDES[kind]:
        try:
            classes[path] = load_class(path, place="compare")
        except UnknownNameError:
            continue  # not installed here
    fit = {path: made for path, made in classes.items() if _is_suitable(made, scores=scores)}
    return dict(sorted(fit.items(), key=lambda item: item[1].__name__))


def candidate_of(
    path: str, made: type, features: Mapping[str, Feature], given: Candidate
) -> Candidate:
    """Return how an estimator is tried: prepared for its kind, unless `given` says how.

    Trees see numbers as they are and categories as codes, all others scaled numbers and categories
    one-hot. Where a value may be missing and the estimator takes none, the median stands in.
    """
    tree = path.startswith(TREES)
    numbers: list[Any] = [] if tree else ["sklearn.preprocessing.StandardScaler"]
    gaps = any(feature.nullable and feature.fill is None for feature in features.values())
    filled = gaps and not get_tags(made()).input_tags.allow_nan
    if filled:
        options = {"strategy": "median", "keep_empty_features": True}
        numbers = [{"class": "sklearn.impute.SimpleImputer", "options": options}, *numbers]
    prepared = {"numbers": numbers, "categories": "codes" if tree and not filled else "onehot"}
    declared = given.model_dump(include={"preprocessors", "numbers", "categories"}, by_alias=True)
    prepared |= {key: value for key, value in declared.items() if key in given.model_fields_set}
    return Candidate.model_validate(
        {"estimator": path, "options": OPTIONS.get(made.__name__, {}), **prepared}
    )


def ranges_of(made: type) -> dict[str, tuple[Any, ...] | Span]:
    """Return what an estimator is tuned over; nothing where it is left as it is."""
    name = made.__name__
    stem = name.removesuffix("Classifier").removesuffix("Regressor")
    return RANGES.get(name) or RANGES.get(stem) or {}


def _path(made: type) -> str:
    """Return the path by which people import a class: without the private modules."""
    return f"{made.__module__.partition('._')[0]}.{made.__name__}"


def _is_suitable(made: type, *, scores: bool) -> bool:
    try:
        estimator = made()
    except TypeError:  # it needs another estimator
        return False
    return hasattr(estimator, "predict_proba") or not scores


Work = Callable[[SearchContext], list[Trial]]


@dataclass(frozen=True)
class Entry:
    """An estimator that competes: its import path and class, what judges it, its trials so far."""

    path: str
    made: type
    context: SearchContext
    trials: tuple[Trial, ...] = ()

    @property
    def best(self) -> Trial:
        """The best trial so far."""
        return max(self.trials, key=self.context.merit)

    @property
    def merit(self) -> float:
        """How good the best trial is; more is better."""
        return self.context.merit(self.best)


@dataclass(frozen=True)
class Leaderboard:
    """Tries the entries and ranks them; `left_out` collects what fails, with the reason."""

    options: Comparing
    strategy: Work
    left_out: dict[str, str]

    def judged(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that could be judged with their defaults, best first."""
        judged = []
        for number, entry in enumerate(entries, start=1):
            tried = self._with_trials(entry, _defaults, entry.path)
            print(
                f"{entry.context.name}: {number}/{len(entries)} {self._outcome(tried)}", flush=True
            )
            judged += [tried] if tried.trials else []
        return sorted(judged, key=lambda entry: -entry.merit)

    def tuned(self, ranked: Sequence[Entry]) -> list[Entry]:
        """Return all entries, the best few of those that can be tuned with more trials."""
        able = [entry.path for entry in ranked if ranges_of(entry.made)][: self.options.tune]
        entries = []
        for entry in ranked:
            tried = entry
            if entry.path in able:
                tuned = entry.context.candidate.model_copy(update={"search": ranges_of(entry.made)})
                searching = replace(entry, context=replace(entry.context, candidate=tuned))
                tried = self._with_trials(searching, self.strategy, f"{entry.path} (tuned)")
                print(f"{entry.context.name}: tuned {self._outcome(tried)}", flush=True)
            entries.append(tried)
        return entries

    def _with_trials(self, entry: Entry, work: Work, name: str) -> Entry:
        """Return an entry with its trials; what an estimator raises is noted, and adds no trial."""
        try:
            made = within(self.options.seconds_each, work, entry.context)
            sound = tuple(trial for trial in made if isfinite(entry.context.merit(trial)))
            if not sound:
                raise TrainingError(f"its {entry.context.metric} is not a finite number")
        except Exception as error:  # whatever a class raises
            reason = first_line(error) or "no reason given"
            self.left_out[name] = f"{type(error).__name__}: {reason}"
            return entry
        return replace(entry, trials=(*entry.trials, *sound))

    def _outcome(self, entry: Entry) -> str:
        if not entry.trials:
            return f"{entry.path}: left out: {self.left_out[entry.path]}"
        metric = entry.context.metric
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

        def context(tried: Candidate) -> SearchContext:
            pipeline = build(tried, training.features, seed=search.seed, place=place)
            return SearchContext(pipeline, training, tried, tuning, metric, place, judge)

        suitable = contenders(training.task, scores=METRICS[metric].judges == "scores")
        admitted = _not_excluded(suitable, options.exclude, place)
        slow = _slow(admitted, rows=len(training.frame))
        board = Leaderboard(options, strategy_of(tuning, place=place), left_out=slow)
        entries = [
            Entry(path, made, context(candidate_of(path, made, training.features, candidate)))
            for path, made in admitted.items()
            if path not in slow
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about defaults that nobody declared
            return _fitted(board, entries, started=started, place=place)

    def predict(self, estimator: Any, frame: pd.DataFrame) -> Prediction:
        """Predict with a fitted pipeline for a float32 frame of shape (n_rows, n_features)."""
        return predict(estimator, frame)


def _fitted(board: Leaderboard, entries: Sequence[Entry], *, started: float, place: str) -> Fitted:
    tried = board.tuned(board.judged(entries))
    if not tried:
        failures = "; ".join(f"{path}: {why}" for path, why in board.left_out.items())
        raise TrainingError(f"{place}: no estimator could be tried: {failures}")
    won = max(tried, key=lambda entry: entry.merit)
    estimator = configured(won.context.pipeline, won.best.hyperparameters)
    estimator.fit(won.context.training.frame, won.context.training.target)
    return Fitted(
        estimator=estimator,
        best=_named(won, won.best),
        trials=[_named(entry, trial) for entry in tried for trial in entry.trials],
        seconds=time.perf_counter() - started,
        chosen=won.path,
        left_out=board.left_out,
    )


def _slow(suitable: Mapping[str, type], *, rows: int) -> dict[str, str]:
    """Return the estimators whose time grows too fast for so many rows, with the reason."""
    most = {path: MOST_ROWS.get(made.__name__, rows) for path, made in suitable.items()}
    return {
        path: f"it is slow, and tried on {limit:,} rows at most"
        for path, limit in most.items()
        if rows > limit
    }


def _defaults(context: SearchContext) -> list[Trial]:
    """Judge an estimator as it is."""
    return context.trials([{}])


def _named(entry: Entry, trial: Trial) -> Trial:
    """Return a trial that says of which estimator it is, its fixed options included."""
    fixed = {"estimator": entry.path, **entry.context.candidate.options}
    return replace(trial, hyperparameters={**fixed, **trial.hyperparameters})


def _not_excluded(
    suitable: Mapping[str, type], exclude: Sequence[str], place: str
) -> dict[str, type]:
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
