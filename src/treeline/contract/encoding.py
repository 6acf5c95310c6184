"""Records → the one float32 matrix a model sees: training and serving share this translation.

A category becomes its position in the declared list, a boolean 0 or 1, a missing value its fill
or NaN. A matrix of codes is what every estimator is fitted on, so an exported graph needs no
strings, and nothing can be encoded one way in training and another way in service.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeline.contract.features import Feature, Value

Matrix = NDArray[np.float32]
Record = Mapping[str, Value | None]


def codes(feature: Feature) -> dict[str, float]:
    """Return the code of each category of a feature: its position in the declared list."""
    return feature.kind.spellings(feature) if feature.categories else {}


def missing_code(feature: Feature) -> float:
    """Return what a missing value is encoded as: the code of the fill, or NaN without one."""
    return float("nan") if feature.fill is None else feature.kind.code(feature, feature.fill)


def in_order(table: Any, names: Sequence[str]) -> Any:
    """Return a frame with the columns of these names in this order; an array as it is.

    A frame that names no column by a text is taken by position, like an array. Raises ValueError
    where a column is missing or stands twice.
    """
    there = list(getattr(table, "columns", ()))
    if there == list(names) or not any(isinstance(name, str) for name in there):
        return table
    if lost := [name for name in names if there.count(name) != 1]:
        raise ValueError(
            f"the frame needs the column {lost[0]!r} once, and has it {there.count(lost[0])} "
            f"times; needed are {', '.join(names)}"
        )
    return table[list(names)]


class Encoder:
    """Encode records of declared features, in the declared order.

    Values are taken as checked: an admitted category, a finite number, a boolean, or None.
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self._columns = tuple(
            (name, codes(feature) or None, missing_code(feature))
            for name, feature in features.items()
        )

    def row(self, record: Record) -> list[float]:
        """Return the codes of one record, a list of length n_features."""
        row = []
        for name, code_of, missing in self._columns:
            value = record.get(name)
            if value is None:
                row.append(missing)
            else:
                row.append(float(value) if code_of is None else code_of[value])  # type: ignore[index]
        return row

    def matrix(self, records: Sequence[Record]) -> Matrix:
        """Return float32 codes of shape (n_records, n_features)."""
        rows = [self.row(record) for record in records]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(self._columns))
