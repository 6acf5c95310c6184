"""Trees as arrays of nodes, and estimators that walk them: numpy, and nothing of Spark's.

Spark compares a feature with `<=` against a double. Every feature here is a float32, which a double
holds exactly, so the same comparison in doubles takes the same way at every node. Sums go over the
trees one after the other, as Spark's do, so that even a tie of votes ends as it does there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from treeline.registry import resolve

AT_ONCE = 1 << 21  # places in trees held in memory: rows times trees

# onnx is needed to write a graph, and not to predict, so it is reached by name.
GRAPHS = {
    "averaging": "treeline.trainers.translated.graphs:averaging",
    "margin": "treeline.trainers.translated.graphs:margin",
    "voting": "treeline.trainers.translated.graphs:voting",
}


@dataclass(frozen=True, repr=False)
class Trees:
    """The nodes of all trees, one after another; a leaf is its own child on both sides.

    `roots` has shape (n_trees,); `feature`, `threshold` (float64), `left` and `right` have shape
    (n_nodes,); `value`, float64 of shape (n_nodes, n_outputs), counts at leaves only; `weights`,
    float64 of shape (n_trees,), is what the value of each tree is multiplied by.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    weights: NDArray[np.float64]

    def sums(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weighted sum of the trees' values, shape (n_rows, n_outputs)."""
        rows = np.asarray(matrix)
        sums = np.zeros((len(rows), self.value.shape[1]))
        for part in self._parts(len(rows)):
            leaves = self._leaves(rows[part])
            for weight, leaf in zip(self.weights, leaves.T, strict=True):
                sums[part] += weight * self.value[leaf]
        return sums

    def __repr__(self) -> str:
        return f"<{len(self.roots)} trees of {len(self.feature)} nodes>"

    def _parts(self, rows: int) -> Iterator[slice]:
        step = max(1, AT_ONCE // len(self.roots))
        return (slice(start, start + step) for start in range(0, rows, step))

    def _leaves(self, matrix: NDArray[Any]) -> NDArray[np.int32]:
        """Return the leaf of every row in every tree, shape (n_rows, n_trees)."""
        rows = np.arange(len(matrix))[:, None]
        at = np.broadcast_to(self.roots, (len(matrix), len(self.roots)))
        while True:
            goes_left = matrix[rows, self.feature[at]] <= self.threshold[at]
            next_ = np.where(goes_left, self.left[at], self.right[at])
            if np.array_equal(next_, at):
                return next_
            at = next_


class _Forest(BaseEstimator):
    """What the estimators below have in common: trees, and a graph that does as they do."""

    graph: str

    def __init__(self, trees: Trees) -> None:
        self.trees = trees

    def fit(self, matrix: object, target: object = None) -> Self:
        """Learn nothing: the trees are grown."""
        return self

    def onnx_piece(self, width: int) -> Any:
        """Return the ONNX graph over `width` columns, with the outputs that skl2onnx gives."""
        return resolve(GRAPHS, self.graph, place="export", extra="train")(self.trees, width)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class VotingForest(ClassifierMixin, _Forest):
    """Each tree votes with the shares of the classes in a leaf; the votes are summed."""

    graph = "voting"

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Return the codes of the classes. Shape (n_classes,)."""
        return np.arange(self.trees.value.shape[1])

    def predict_proba(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Return the share of the votes of each class, shape (n_rows, n_classes)."""
        votes = self.trees.sums(matrix)
        return np.asarray(votes / votes.sum(axis=1, keepdims=True))

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.int64]:
        """Return the class with most votes, the first of equals, shape (n_rows,)."""
        return np.asarray(self.trees.sums(matrix).argmax(axis=1))


class MarginForest(ClassifierMixin, _Forest):
    """The sum of the trees is a margin m; the probability of class 1 is 1 / (1 + exp(-2 m)).

    That is the probability of the loss log(1 + exp(-2 y m)), y in {-1, 1}, that Spark's gradient
    boosting minimises (Friedman 1999, section 4.4).
    """

    graph = "margin"

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Return the codes of the two classes."""
        return np.arange(2)

    def predict_proba(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probabilities of both classes, shape (n_rows, 2)."""
        margin = self.trees.sums(matrix)
        return 1 / (1 + np.exp(2 * np.hstack([margin, -margin])))

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.int64]:
        """Return class 1 where the margin is above 0, shape (n_rows,)."""
        return (self.trees.sums(matrix)[:, 0] > 0).astype(np.int64)


class AveragingForest(RegressorMixin, _Forest):
    """The weighted sum of the trees is the value."""

    graph = "averaging"

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values, shape (n_rows,)."""
        return self.trees.sums(matrix)[:, 0]
