"""A linear model → exact Shapley values: a column beyond its mean, times its weight. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.inference.explanations.reading import Node, UnreadableError

Floats = NDArray[np.float64]


class LinearHead:
    """Weights of columns of features, against a background."""

    def __init__(
        self, node: Node, owners: NDArray[np.int64], points: NDArray[Any], weights: Floats
    ) -> None:
        """Read a node; raises UnreadableError.

        `points` are the columns of the points of a background, of shape (n_points, n_columns),
        `weights` the shares of these points of shape (n_points, n_features).
        """
        given, width = node.attributes, len(owners)
        coefficients = given["coefficients"].astype(np.float64)
        if coefficients.size % width:
            raise UnreadableError(f"{coefficients.size} coefficients of {width} columns")
        self._weights = coefficients.reshape(-1, width)
        self._intercepts = np.zeros(len(self._weights))
        intercepts = given.get("intercepts", np.zeros(0))
        self._intercepts[: len(intercepts)] = intercepts
        self._owners, self._features = owners, weights.shape[1]
        own = weights[:, owners] * (owners >= 0)
        own[0, owners < 0] = 1  # the same in every row
        self._means = np.where(own > 0, own * points, 0).sum(axis=0)
        self.expected = self._weights @ self._means + self._intercepts

    def raw(self, columns: NDArray[Any]) -> Floats:
        """Return the outputs of shape (n_rows, n_outputs) for columns of shape (n_rows, …)."""
        raw: Floats = columns @ self._weights.T + self._intercepts
        return raw

    def contributions(self, columns: NDArray[Any], mix: Floats) -> Floats:
        """Return what each feature adds to a mixture of the outputs, shape (n_features,)."""
        added = (mix @ self._weights) * (columns - self._means)
        own = self._owners >= 0
        counted = np.bincount(self._owners[own], added[own], minlength=self._features)
        return np.asarray(counted, np.float64)
