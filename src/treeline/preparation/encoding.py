"""Prepared rows → the float32 frame that estimators see, and targets → class codes.

The same translation as `treeline.contract.encoding` makes of records in service, for whole columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treeline.contract.encoding import codes, missing_code
from treeline.contract.features import Feature, Label
from treeline.contract.problems import plain
from treeline.errors import DataError


def encoded(frame: pd.DataFrame, features: Mapping[str, Feature]) -> pd.DataFrame:
    """Return float32 codes of shape (n_rows, n_features), named and ordered as declared."""
    columns = {}
    for name, feature in features.items():
        column = frame[name].map(codes(feature)) if feature.categories else frame[name]
        numbers = column.astype("float64").fillna(missing_code(feature))
        columns[name] = numbers.to_numpy(dtype=np.float32, na_value=np.nan)
    return pd.DataFrame(columns)


def encoded_target(column: pd.Series, classes: Sequence[Label] | None) -> NDArray[Any]:
    """Return class codes, int64 of shape (n_rows,), or without classes float64 values.

    Raises DataError for a class that is not among `classes`.
    """
    if classes is None:
        return column.to_numpy(dtype=np.float64)
    code_of = {value: code for code, value in enumerate(classes)}
    coded = column.map(code_of)
    if coded.isna().any():
        strange = column[coded.isna()].iloc[0]
        raise DataError(
            f"target {column.name!r}: {plain(strange)!r} is none of the classes "
            f"{', '.join(map(repr, classes))}; run the prepare stage again"
        )
    return coded.to_numpy(dtype=np.int64)
