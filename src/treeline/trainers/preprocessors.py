"""Preprocessors that come with the package: choose columns by name. Yours go into `src/own`.

A preprocessor is any class with `fit` and `transform`. It is given the frame that estimators see,
float32 of shape (n_rows, n_features) with a category as its code, and returns a frame. With a
method `plain` it can be exported to ONNX (docs/add-a-model.md, "classes of your own").
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer

from treeline.errors import TrainingError


class KeepColumns(TransformerMixin, BaseEstimator):
    """Keep the named columns and drop the others."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def fit(self, frame: pd.DataFrame, target: object = None) -> Self:
        """Learn the positions of the columns kept; raises TrainingError for unknown names.

        `frame` has shape (n_rows, n_features).
        """
        if unknown := [name for name in self.columns if name not in frame.columns]:
            raise TrainingError(
                f"{type(self).__name__}: {unknown[0]!r} is no column here; "
                f"there are {', '.join(frame.columns)}"
            )
        self.feature_names_in_ = np.asarray(frame.columns, dtype=object)
        self.kept_ = [name for name in frame.columns if self._keeps(name)]
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame of shape (n_rows, n_kept), in the order of the frame given."""
        return frame[self.kept_]

    def plain(self) -> ColumnTransformer:
        """Return the fitted ColumnTransformer that keeps the same columns by position."""
        names = list(self.feature_names_in_)
        positions = [names.index(name) for name in self.kept_]
        chooser = ColumnTransformer([("kept", "passthrough", positions)])
        return chooser.fit(np.zeros((1, len(names)), dtype=np.float32))

    def _keeps(self, name: str) -> bool:
        return name in self.columns


class DropColumns(KeepColumns):
    """Drop the named columns and keep the others."""

    def _keeps(self, name: str) -> bool:
        return name not in self.columns
