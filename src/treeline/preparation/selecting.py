"""Which columns and rows of a source count, and what stands in for missing values."""

from collections.abc import Mapping
from math import inf

import pandas as pd

from treeline.config.models import ModelSpec
from treeline.config.sources import Condition, Range, Scalar, admitted
from treeline.contract.features import Feature
from treeline.contract.problems import plain
from treeline.errors import DataError
from treeline.preparation.casting import numbers, texts, truths

SHOWN = 8  # values of a column named in a message


def declared_columns(raw: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return the declared columns of a frame, features first; raises DataError naming lost ones."""
    wanted = list(dict.fromkeys([*spec.features, spec.target.name, *spec.source.columns]))
    if lost := [name for name in wanted if name not in raw.columns]:
        way_out = "declare those, or correct the source"
        if len(raw.columns) == 1 and hasattr(spec.source, "delimiter"):
            way_out += f" (is {spec.source.delimiter!r} its delimiter?)"
        raise DataError(
            f"the source has no column {', '.join(map(repr, lost))}; it has "
            f"{', '.join(map(repr, raw.columns))}: {way_out}"
        )
    if repeated := sorted({name for name in wanted if list(raw.columns).count(name) > 1}):
        raise DataError(f"the source has the column {repeated[0]!r} twice; remove or rename one")
    return raw[wanted]


def matching(frame: pd.DataFrame, where: Mapping[str, Condition]) -> pd.DataFrame:
    """Return the rows that meet every condition; raises DataError when none does.

    A value is met however the source writes it: 0 by 0, 0.0, "0" and false.
    """
    for name, condition in where.items():
        keep = meets(frame[name], condition)
        if len(frame) and not keep.any():
            held = [repr(plain(value)) for value in frame[name].unique()[: SHOWN + 1]]
            more = ", …" if len(held) > SHOWN else ""
            raise DataError(
                f"source.where.{name}: no row has {admitted(condition)}; the column holds "
                f"{', '.join(held[:SHOWN])}{more}: correct the condition, or the source"
            )
        frame = frame[keep]
    return frame


def filled(frame: pd.DataFrame, features: Mapping[str, Feature]) -> pd.DataFrame:
    """Return the frame with the declared fill in place of each missing value."""
    fills = {name: feature.fill for name, feature in features.items() if feature.fill is not None}
    return frame.fillna(fills)


def meets(column: pd.Series, condition: Condition) -> pd.Series:
    """Return which rows of a column meet a condition."""
    if isinstance(condition, Range):
        low = -inf if condition.minimum is None else condition.minimum
        high = inf if condition.maximum is None else condition.maximum
        return numbers(column).between(low, high)
    wanted = condition if isinstance(condition, tuple) else (condition,)
    keep = pd.Series(False, index=column.index)
    for value in wanted:
        keep |= _equals(column, value)
    return keep


def _equals(column: pd.Series, value: Scalar) -> pd.Series:
    if isinstance(value, str):
        return texts(column, among=[value]) == value
    alike = truths(column).eq(bool(value)).fillna(False).astype("bool")
    if isinstance(value, bool):
        return alike
    same = numbers(column) == value
    return same | alike if value in (0, 1) else same
