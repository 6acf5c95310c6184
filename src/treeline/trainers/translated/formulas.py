"""Models that are a formula: their coefficients, set into the same model of scikit-learn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB


def logistic(model: Any, width: int) -> LogisticRegression:
    """Return the LogisticRegression with the coefficients of Spark's.

    Two classes fitted with `family: multinomial` have a row of coefficients each; their difference
    is the one row that scikit-learn has for two classes.
    """
    slopes = model.coefficientMatrix.toArray().reshape(-1, width)
    intercepts = model.interceptVector.toArray()
    if model.numClasses == 2 and len(slopes) == 2:
        slopes, intercepts = slopes[1:] - slopes[:1], intercepts[1:] - intercepts[:1]
    plain = _knowing(LogisticRegression(), width, classes=model.numClasses)
    plain.coef_, plain.intercept_ = slopes, intercepts
    plain.n_iter_ = np.array([model.summary.totalIterations], dtype=np.int32)
    return plain


def linear(model: Any, width: int) -> LinearRegression:
    """Return the LinearRegression with the coefficients of Spark's."""
    plain = _knowing(LinearRegression(), width)
    plain.coef_, plain.intercept_ = model.coefficients.toArray(), float(model.intercept)
    return plain


def bayes(model: Any, width: int) -> Any:
    """Return scikit-learn's naive Bayes of the same `modelType`."""
    prior = model.pi.toArray()
    return BAYES[model.getModelType()](model, width, prior)


def _gaussian(model: Any, width: int, prior: NDArray[np.float64]) -> GaussianNB:
    plain = _knowing(GaussianNB(), width, classes=len(prior))
    plain.theta_, plain.var_ = model.theta.toArray(), model.sigma.toArray()
    plain.class_prior_ = np.exp(prior)
    plain.epsilon_ = 0.0  # Spark has added its own to the variances
    return plain


def _multinomial(model: Any, width: int, prior: NDArray[np.float64]) -> MultinomialNB:
    return _counting(MultinomialNB(), model, width, prior)


def _bernoulli(model: Any, width: int, prior: NDArray[np.float64]) -> BernoulliNB:
    return _counting(BernoulliNB(), model, width, prior)


def _complement(model: Any, width: int, prior: NDArray[np.float64]) -> ComplementNB:
    return _counting(ComplementNB(), model, width, prior)


def _counting(plain: Any, model: Any, width: int, prior: NDArray[np.float64]) -> Any:
    plain = _knowing(plain, width, classes=len(prior))
    plain.feature_log_prob_, plain.class_log_prior_ = model.theta.toArray(), prior
    return plain


BAYES = {
    "bernoulli": _bernoulli,
    "complement": _complement,
    "gaussian": _gaussian,
    "multinomial": _multinomial,
}


def _knowing(plain: Any, width: int, *, classes: int | None = None) -> Any:
    plain.n_features_in_ = width
    if classes is not None:
        plain.classes_ = np.arange(classes)
    return plain
