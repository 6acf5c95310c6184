"""Which estimators the trainer `compare` tries, prepared how, and tuned within which ranges.

Whatever scikit-learn has for the task takes part, except for what the tables below name, so that a
newer scikit-learn brings its newer estimators. Names are those of classes; a range is declared once
for a classifier and its regressor.
"""

from collections.abc import Mapping
from typing import Any

from sklearn.utils import all_estimators, get_tags

from treeline.config.models import Candidate, Span
from treeline.contract.features import Feature, Task
from treeline.errors import UnknownNameError
from treeline.registry import load_class

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
    found = {
        _path(made): made for name, made in all_estimators(type_filter=kind) if name not in out
    }
    for path in BESIDES[kind]:
        try:
            found[path] = load_class(path, place="compare")
        except UnknownNameError:
            continue  # not installed here
    fit = {path: made for path, made in found.items() if _is_suitable(made, scores=scores)}
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
