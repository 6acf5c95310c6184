"""A kind of class and its name → the module that it begins with, which keeps what it must."""

from string import Template

REGRESSOR = Template('''\
"""$name: what it predicts, and how."""

from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge


class $name(RegressorMixin, BaseEstimator):
    """Rows are float32 of shape (n_rows, n_features), a category as its code or one-hot."""

    def __init__(self, strength=1.0):
        self.strength = strength  # options are kept as they come, under their own names

    def fit(self, rows, target):
        """Learn from values, float64 of shape (n_rows,); what is learnt ends with `_`."""
        self.n_features_in_ = rows.shape[1]
        self.model_ = Ridge(alpha=self.strength).fit(rows, target)
        return self

    def predict(self, rows):
        """Return values of shape (n_rows,)."""
        return self.model_.predict(rows)

    def plain(self):
        """Return the fitted object of scikit-learn that does the same, for the ONNX graph."""
        return self.model_
''')
CLASSIFIER = Template('''\
"""$name: what it predicts, and how."""

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression


class $name(ClassifierMixin, BaseEstimator):
    """Rows are float32 of shape (n_rows, n_features), a category as its code or one-hot."""

    def __init__(self, strength=1.0):
        self.strength = strength  # options are kept as they come, under their own names

    def fit(self, rows, target):
        """Learn from codes of classes, int64 of shape (n_rows,); what is learnt ends with `_`."""
        self.n_features_in_ = rows.shape[1]
        self.model_ = LogisticRegression(C=self.strength, max_iter=1000).fit(rows, target)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, rows):
        """Return codes of shape (n_rows,)."""
        return self.model_.predict(rows)

    def predict_proba(self, rows):
        """Return probabilities of shape (n_rows, n_classes), in the order of `classes_`."""
        return self.model_.predict_proba(rows)

    def plain(self):
        """Return the fitted object of scikit-learn that does the same, for the ONNX graph."""
        return self.model_
''')
PREPROCESSOR = Template('''\
"""$name: which columns it makes, and of what."""

from sklearn.base import BaseEstimator, TransformerMixin


class $name(TransformerMixin, BaseEstimator):
    """A frame has float32 columns by name, a category as its code."""

    def __init__(self, largest=1e6):
        self.largest = largest  # options are kept as they come, under their own names

    def fit(self, frame, target=None):
        """Learn from the training rows alone; what is learnt ends with `_`."""
        self.n_features_in_ = frame.shape[1]
        return self

    def transform(self, frame):
        """Return another frame; the one that is given stays as it is."""
        return frame.clip(upper=self.largest)
''')
METRIC = Template('''\
"""$name: what answers are worth, in a unit of one's own."""

import numpy as np

FALSE_ALARM, MISS = 1.0, 5.0


class $name:
    """The mean cost of a row. It is made without options, and keeps nothing between two calls."""

    judges = "labels"  # codes of classes; or "scores", probabilities; or "values", of a regression
    tasks = ("binary",)
    greater_is_better = False
    scale = "error"  # from 0 up; "share": from 0 to 1; "explained": up to 1; left out: no bound

    def per_row(self, truth, labels):
        """Return a number for each row, whose mean is the metric: shape (n_rows,).

        Both are int64 of shape (n_rows,); of two classes the positive one is 1. Probabilities have
        shape (n_rows, n_classes). Where no number of a row by itself will do, define
        `overall(self, truth, labels)` in its place, which returns one number.
        """
        alarm, miss = (labels == 1) & (truth == 0), (labels == 0) & (truth == 1)
        return np.where(alarm, FALSE_ALARM, np.where(miss, MISS, 0.0))
''')
TEMPLATES = {
    "classifier": CLASSIFIER,
    "metric": METRIC,
    "preprocessor": PREPROCESSOR,
    "regressor": REGRESSOR,
}


def module_of(kind: str, name: str) -> str:
    """Return the text of a module with one class; `kind` is a key of TEMPLATES."""
    return TEMPLATES[kind].substitute(name=name)
