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
TEMPLATES = {"classifier": CLASSIFIER, "preprocessor": PREPROCESSOR, "regressor": REGRESSOR}


def module_of(kind: str, name: str) -> str:
    """Return the text of a module with one class; `kind` is a key of TEMPLATES."""
    return TEMPLATES[kind].substitute(name=name)
