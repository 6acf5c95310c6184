"""Models fitted by Spark, one function each: formulas, boosters and trees → plain estimators."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from xgboost import XGBClassifier, XGBRegressor

from treeline.engines.spark import as_json
from treeline.trainers.translated.forest import (
    AveragingForest,
    MarginForest,
    Trees,
    VotingForest,
)


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


def classes(model: Any, width: int) -> XGBClassifier:
    """Return the XGBClassifier with the booster of a SparkXGBClassifier's model."""
    plain = XGBClassifier(n_jobs=1)
    plain.load_model(_booster(model))
    return plain


def values(model: Any, width: int) -> XGBRegressor:
    """Return the XGBRegressor with the booster of a SparkXGBRegressor's model."""
    plain = XGBRegressor(n_jobs=1)
    plain.load_model(_booster(model))
    return plain


def _booster(model: Any) -> bytearray:
    payload: bytearray = model.get_booster().save_raw("ubj")
    return payload


Node = dict[str, Any]  # with the names of the fields of Spark's own nodes
Value = Callable[[Node], list[float]]


def voting(model: Any, width: int) -> VotingForest:
    """Return the forest in which each tree of a model votes with the shares of its leaf."""
    members = _members(model)
    return VotingForest(_trees(members, _shares, np.ones(len(members))))


def averaged(model: Any, width: int) -> AveragingForest:
    """Return the forest whose value is the mean of the trees of a model."""
    members = _members(model)
    return AveragingForest(_trees(members, _value, np.full(len(members), 1 / len(members))))


def boosted_classes(model: Any, width: int) -> MarginForest:
    """Return the forest whose weighted sum is the margin between two classes."""
    return MarginForest(_trees(_members(model), _value, np.array(model.treeWeights)))


def boosted_values(model: Any, width: int) -> AveragingForest:
    """Return the forest whose weighted sum is the value."""
    return AveragingForest(_trees(_members(model), _value, np.array(model.treeWeights)))


def _members(model: Any) -> list[Any]:
    """Return the trees of an ensemble, or the one tree that a model is."""
    return list(model.trees) if hasattr(model, "trees") else [model]


def _shares(leaf: Node) -> list[float]:
    counts = np.array(leaf["impurityStats"]["stats"])
    return [float(share) for share in counts / counts.sum()]


def _value(leaf: Node) -> list[float]:
    return [float(leaf["prediction"])]


def _trees(members: list[Any], value: Value, weights: NDArray[np.float64]) -> Trees:
    splits: list[tuple[int, float, int, int]] = []
    leaves: dict[int, list[float]] = {}
    grown = json.loads(as_json([member._java_obj.rootNode() for member in members]))
    roots = [_grow(root, splits, leaves, value) for root in grown]
    feature, threshold, left, right = zip(*splits, strict=True)
    values = np.zeros((len(splits), len(next(iter(leaves.values())))))
    values[list(leaves)] = list(leaves.values())
    return Trees(
        roots=np.array(roots, np.int32),
        feature=np.array(feature, np.int32),
        threshold=np.array(threshold, np.float64),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        value=values,
        weights=weights,
    )


def _grow(
    node: Node,
    splits: list[tuple[int, float, int, int]],
    leaves: dict[int, list[float]],
    value: Value,
) -> int:
    """Append a node and all below it; return its place. Spark's trees are at most 30 deep."""
    here = len(splits)
    splits.append((0, 0.0, here, here))
    if "split" not in node:
        leaves[here] = value(node)
        return here
    left = _grow(node["leftChild"], splits, leaves, value)
    right = _grow(node["rightChild"], splits, leaves, value)
    splits[here] = (node["split"]["featureIndex"], node["split"]["threshold"], left, right)
    return here
