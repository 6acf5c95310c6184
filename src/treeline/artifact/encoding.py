"""Records → the one float32 matrix a model sees: training and serving share this translation.

A category becomes its position in the declared list, a boolean 0 or 1, a missing value its fill
or NaN. A matrix of codes is what every estimator is fitted on, so an exported graph needs no
strings, and nothing can be encoded one way in training and another way in service.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from treeline.artifact.features import Feature, Value

Matrix = NDArray[np.float32]
Record = Mapping[str, Value | None]


def codes(feature: Feature) -> dict[str, float]:
    """Return the code of each category of a feature: its position in the declared list."""
    return {category: float(code) for code, category in enumerate(feature.categories)}


def missing_code(feature: Feature) -> float:
    """Return what a missing value is encoded as: the code of the fill, or NaN without one."""
    if feature.fill is None:
        return float("nan")
    return codes(feature)[str(feature.fill)] if feature.categories else float(feature.fill)


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
