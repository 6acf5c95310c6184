"""Models fitted by Spark → plain estimators that predict the same, without Java and without Spark.

A fitted model of Spark answers through a JVM. What it has learnt is only numbers, and from these an
estimator is made here that scikit-learn's pipelines, the pickle runtime and the conversion to ONNX
take like any other. Which estimators can be translated is one table; whether a translation is
right is not taken on its word: the trainer compares it with Spark's own answers at every fit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treeline.contract.features import Task
from treeline.errors import TrainingError, UnknownNameError
from treeline.registry import resolve

CLASSIFICATION, REGRESSION = "pyspark.ml.classification", "pyspark.ml.regression"

CLASSES: tuple[Task, ...] = ("binary", "multiclass")
VALUES: tuple[Task, ...] = ("regression",)

Translate = Callable[[Any, int], Any]


@dataclass(frozen=True)
class Kind:
    """An estimator of Spark's: who translates what it has learnt, and what it can learn from.

    `missing` says whether it can be fitted on missing values, `tasks` for which targets.
    """

    translator: str
    tasks: tuple[Task, ...]
    missing: bool = False


KINDS = {
    f"{CLASSIFICATION}.DecisionTreeClassifier": Kind("voting", CLASSES),
    f"{CLASSIFICATION}.GBTClassifier": Kind("boosted_classes", ("binary",)),
    f"{CLASSIFICATION}.LogisticRegression": Kind("logistic", CLASSES),
    f"{CLASSIFICATION}.NaiveBayes": Kind("bayes", CLASSES),
    f"{CLASSIFICATION}.RandomForestClassifier": Kind("voting", CLASSES),
    f"{REGRESSION}.DecisionTreeRegressor": Kind("averaged", VALUES),
    f"{REGRESSION}.GBTRegressor": Kind("boosted_values", VALUES),
    f"{REGRESSION}.LinearRegression": Kind("linear", VALUES),
    f"{REGRESSION}.RandomForestRegressor": Kind("averaged", VALUES),
    "xgboost.spark.SparkXGBClassifier": Kind("xgb_classes", CLASSES, missing=True),
    "xgboost.spark.SparkXGBRegressor": Kind("xgb_values", VALUES, missing=True),
}

TRANSLATORS = {
    "averaged": "treeline.trainers.translated.models:averaged",
    "bayes": "treeline.trainers.translated.models:bayes",
    "boosted_classes": "treeline.trainers.translated.models:boosted_classes",
    "boosted_values": "treeline.trainers.translated.models:boosted_values",
    "linear": "treeline.trainers.translated.models:linear",
    "logistic": "treeline.trainers.translated.models:logistic",
    "voting": "treeline.trainers.translated.models:voting",
    "xgb_classes": "treeline.trainers.translated.models:classes",
    "xgb_values": "treeline.trainers.translated.models:values",
}


def kind_of(path: str | None, *, task: Task, place: str) -> Kind:
    """Return what is known of an estimator; raises UnknownNameError and TrainingError."""
    if path not in KINDS:
        raise UnknownNameError(
            f"{place}: {path!r} is no estimator of Spark's that can be served without Spark; "
            f"choose from {', '.join(KINDS)}"
        )
    kind = KINDS[path]
    if task not in kind.tasks:
        fitting = ", ".join(name for name, each in KINDS.items() if task in each.tasks)
        raise TrainingError(
            f"{place}: {path} is for a {' or '.join(kind.tasks)} target, and this is a {task} one; "
            f"choose from {fitting}"
        )
    return kind


def translated(model: Any, kind: Kind, *, width: int) -> Any:
    """Return the plain estimator for a fitted model of Spark's over `width` columns."""
    translate: Translate = resolve(TRANSLATORS, kind.translator, place="translator", extra="spark")
    return translate(model, width)
