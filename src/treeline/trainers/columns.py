"""The steps around preprocessors: names for the matrix, then numbers and categories apart."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from treeline.contract.encoding import in_order


class NamedColumns(TransformerMixin, BaseEstimator):
    """The first step of every pipeline: a matrix of codes → a frame with the features' names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def fit(self, matrix: pd.DataFrame | NDArray[Any], target: object = None) -> Self:
        """Learn nothing. `matrix` has shape (n_rows, n_features)."""
        return self

    def transform(self, matrix: pd.DataFrame | NDArray[Any]) -> pd.DataFrame:
        """Return a float32 frame of shape (n_rows, n_features).

        A frame is read by the names of its columns, whatever their order; an array by position.
        Raises ValueError where a feature is missing.
        """
        return pd.DataFrame(_matrix(in_order(matrix, self.names)), columns=list(self.names))

    def __sklearn_is_fitted__(self) -> bool:
        return True


class TypedColumns(TransformerMixin, BaseEstimator):
    """Number columns through their own steps, category codes one-hot or as they are.

    `categories` maps each declared category column to how many categories it has; a column of the
    incoming frame under another name is a number. An array without names is taken as numbers.
    """

    def __init__(
        self, categories: Mapping[str, int], numbers: Sequence[Any], *, onehot: bool = True
    ) -> None:
        self.categories = categories
        self.numbers = numbers
        self.onehot = onehot

    def fit(self, frame: pd.DataFrame | NDArray[Any], target: object = None) -> Self:
        """Fit the steps of each kind of column. `frame` has shape (n_rows, n_features)."""
        names = list(frame.columns) if isinstance(frame, pd.DataFrame) else [""] * frame.shape[1]
        coded = [position for position, name in enumerate(names) if name in self.categories]
        plain = [position for position, name in enumerate(names) if name not in self.categories]
        steps = make_pipeline(*map(clone, self.numbers)) if self.numbers else "passthrough"
        encoder = OneHotEncoder(
            categories=[np.arange(self.categories[names[p]], dtype=np.float32) for p in coded],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=np.float32,
        )
        branches = [("numbers", steps, plain)] if plain else []
        if coded:
            branches.append(("categories", encoder if self.onehot else "passthrough", coded))
        self.names_ = names
        self.plain_ = ColumnTransformer(branches).fit(_matrix(frame), target)
        return self

    def transform(self, frame: pd.DataFrame | NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 of shape (n_rows, n_columns_out), number columns first."""
        transformed = self.plain_.transform(_matrix(in_order(frame, self.names_)))
        return np.asarray(transformed, dtype=np.float32)

    def sources(self) -> list[str]:
        """Return the name of the column that each column comes from, of length n_columns_out.

        One that a step of numbers makes of several, or names anew, has the name of that step's.
        """
        made: list[str] = []
        for name, step, positions in self.plain_.transformers_:
            names = [self.names_[position] for position in positions]
            if name == "categories" and self.onehot:
                made += [each for each in names for _ in range(self.categories[each])]
            elif hasattr(step, "get_feature_names_out"):
                made += map(str, step.get_feature_names_out(names))
            else:
                made += names
        return made

    def plain(self) -> ColumnTransformer:
        """Return the fitted library transformer that does the same by position."""
        return self.plain_


def _matrix(frame: pd.DataFrame | NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(frame, dtype=np.float32)
