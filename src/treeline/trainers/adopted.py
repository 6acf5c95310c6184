"""A class that is none of scikit-learn's → an estimator that a pipeline can hold.

It is in pickles, which are opened where nothing of training is installed.
"""

from copy import deepcopy
from typing import Any, Self

from sklearn.base import BaseEstimator

FORWARDED = ("predict", "predict_proba", "classes_", "plain")


class Adopted(BaseEstimator):
    """An estimator of a class that is none of scikit-learn's, so that a pipeline can hold it."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def fit(self, matrix: Any, target: Any) -> Self:
        """Fit a copy of the object made, which stays as it was declared."""
        self.fitted_ = deepcopy(self.made)
        self.fitted_.fit(matrix, target)
        return self

    def __getattr__(self, name: str) -> Any:
        if name in FORWARDED and "fitted_" in vars(self):
            return getattr(self.fitted_, name)
        raise AttributeError(name)
