"""Columns → the codes that a model is given, and what is wrong with which row: the one rule.

Preparation, scoring and the service hold whole columns against it. A record of JSON takes a path of
its own, made from the same features (`Kind.annotation`), and tests hold the two to be equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.contract.encoding import Matrix, missing_code
from treeline.contract.features import Feature
from treeline.contract.kinds import Column, Floats, Mask
from treeline.contract.problems import value_problem
from treeline.errors import Problem


@dataclass(frozen=True)
class Admission:
    """Codes of n_rows rows, float32 of shape (n_rows, n_features), and which values are refused.

    `refused` marks rows of shape (n_rows,) by the name of the feature, where there are any; their
    codes are those of missing values.
    """

    matrix: Matrix
    refused: Mapping[str, Mask]
    columns: Mapping[str, Column]
    features: Mapping[str, Feature]

    def counts(self) -> NDArray[np.int64]:
        """Return how many values of each row are refused, of shape (n_rows,)."""
        counts = np.zeros(len(self.matrix), dtype=np.int64)
        for refused in self.refused.values():
            counts += refused
        return counts

    def problems(self, row: int) -> list[Problem]:
        """Return what is wrong with one row, in the order of the features."""
        return [
            value_problem(name, self.features[name], value_at(self.columns[name], row))
            for name, refused in self.refused.items()
            if refused[row]
        ]


def admit(
    columns: Mapping[str, Column], features: Mapping[str, Feature], *, n_rows: int
) -> Admission:
    """Hold columns against their features; one that is left out is missing in every row.

    That a feature which must be there is left out is for the caller to refuse, before any row.
    """
    matrix = np.empty((n_rows, len(features)), dtype=np.float32)
    refused: dict[str, Mask] = {}
    for place, (name, feature) in enumerate(features.items()):
        column = columns.get(name)
        if column is None:
            matrix[:, place] = missing_code(feature)
            continue
        matrix[:, place], bad = coded(column, feature)
        if bad.any():
            refused[name] = bad
    return Admission(matrix, refused, columns, features)


def coded(column: Column, feature: Feature) -> tuple[Floats, Mask]:
    """Return the codes of a column, float64 of shape (n_rows,), and which values are refused.

    A missing value has its own code, and is refused unless the feature is optional; a refused one
    has that code too.
    """
    codes, bad = feature.kind.codes(feature, column)
    if not (column.missing.any() or bad.any()):
        return codes, bad
    bad = bad & ~column.missing
    codes = np.where(bad | column.missing, missing_code(feature), codes)
    return codes, bad if feature.optional else bad | column.missing


def value_at(column: Column, row: int) -> Any:
    """Return the value of a row, None where it is missing."""
    return None if column.missing[row] else column.value(row)


def matched(
    texts: Sequence[object], places: NDArray[np.int64], known: Sequence[str]
) -> NDArray[np.int64]:
    """Return where each row's text stands among those known, int64 of shape (n_rows,), or -1.

    `texts` are the different ones, `places` of shape (n_rows,) which of them a row has, or -1.
    """
    position = {text: place for place, text in enumerate(known)}
    table = np.array([*(position.get(text, -1) for text in texts), -1], dtype=np.int64)  # type: ignore[call-overload]
    return table[places]
