"""A task and its features → two or three candidates with a modest search, and their metric."""

from collections.abc import Mapping
from typing import Any

from treeline.contract.features import Task

SCALER = "sklearn.preprocessing.StandardScaler"
IMPUTER = {"class": "sklearn.impute.SimpleImputer", "options": {"strategy": "median"}}
MOST_ROWS_OF_A_FOREST = 5_000
RARE = 0.05  # below, the area under the ROC curve hardly sees the positive class

Block = dict[str, Any]


def candidates(task: Task, features: Mapping[str, Block], *, rows: int) -> dict[str, Block]:
    """Return a linear model, a forest where there are few rows, and boosted trees.

    `rows` are those to learn from. Only boosted trees see missing numbers as they are.
    """
    blank = any(each.get("nullable") and each["type"] != "category" for each in features.values())
    numbers = any(each["type"] != "category" for each in features.values())
    filled: Block = {"numbers": IMPUTER} if blank else {}
    scaled: Block = {"numbers": [IMPUTER, SCALER] if blank else SCALER} if numbers else {}
    kind = "Regressor" if task == "regression" else "Classifier"
    made: dict[str, Block] = {}
    if task == "regression":
        made["ridge"] = {
            **scaled,
            "estimator": "sklearn.linear_model.Ridge",
            "search": {"alpha": [0.1, 1, 10, 100]},
        }
    else:
        made["logistic"] = {
            **scaled,
            "estimator": "sklearn.linear_model.LogisticRegression",
            "options": {"max_iter": 1000},
            "search": {"C": [0.01, 0.1, 1, 10]},
        }
    if rows < MOST_ROWS_OF_A_FOREST:
        made["forest"] = {
            **filled,
            "estimator": f"sklearn.ensemble.RandomForest{kind}",
            "options": {"n_estimators": 100},
            "search": {"min_samples_leaf": [1, 5]},
        }
    made["boosting"] = {
        "estimator": f"xgboost.XGB{kind}",
        "options": {"tree_method": "hist", "n_estimators": 100},
        "search": {"max_depth": [2, 4], "learning_rate": [0.05, 0.1]},
    }
    return made


def judged_by(task: Task, share: float) -> str:
    """Return the metric that ranks candidates; `share` is that of the rarest class, 0 to 1."""
    if task == "regression":
        return "rmse"
    if task == "multiclass":
        return "log_loss"
    return "average_precision" if share < RARE else "roc_auc"
