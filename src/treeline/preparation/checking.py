"""Rows against their declaration: types, categories, bounds and missing values, all at once."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd

from treeline.artifact.features import FLOAT32_MAX, Feature, Target
from treeline.config.models import ModelSpec
from treeline.errors import DataError
from treeline.preparation.casting import EXACT, numbers, plain, texts, truths


@contextmanager
def _spark_unheard() -> Iterator[None]:
    """Hide that Spark warns of pandas 3: pandera tries its pandas wherever Spark is installed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support", FutureWarning)
        yield


with _spark_unheard():
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

SHOWN = 5  # faults named per column before the rest is only counted

_CARRIED = {"number": "a number", "integer": "a whole number", "text": "a text"}


def check(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return a typed copy of declared columns, index kept: 0 for the first row of the data.

    Numbers become float64, booleans nullable booleans, categories and texts strings, whole-number
    columns nullable integers. Raises DataError that names column, row and value of each fault.
    """
    typed = {name: _feature(frame[name], feature) for name, feature in spec.features.items()}
    typed[spec.target.name] = _target(frame[spec.target.name], spec.target)
    for name, kind in spec.source.columns.items():
        typed[name] = texts(frame[name]) if kind == "text" else numbers(frame[name])
    checked = pd.DataFrame(typed, index=frame.index)
    faults = checked.isna() & frame[list(typed)].notna()
    try:
        with _spark_unheard():
            _schema(spec).validate(checked, lazy=True)
    except SchemaErrors as errors:
        for column, row in errors.failure_cases[["column", "index"]].itertuples(index=False):
            faults.loc[row, column] = True
    if faults.any(axis=None):
        raise DataError(_told(faults, frame, _needed(spec)))
    whole = [name for name, kind in spec.source.columns.items() if kind == "integer"]
    return checked.astype(dict.fromkeys(whole, "Int64"))


def _feature(column: pd.Series, feature: Feature) -> pd.Series:
    if feature.type == "category":
        return texts(column, among=feature.categories)
    return truths(column) if feature.type == "boolean" else numbers(column)


def _target(column: pd.Series, target: Target) -> pd.Series:
    """Return classes of one type: that of the positive class, where there is one."""
    if target.task == "regression":
        return numbers(column)
    if isinstance(target.positive, str):
        return texts(column, among=[target.positive])
    plain_column = column.infer_objects()
    if plain_column.dtype.kind == "b":
        return plain_column.astype("float64")
    if target.positive is not None or plain_column.dtype.kind in "iuf":
        return numbers(plain_column)
    return texts(plain_column)


def _schema(spec: ModelSpec) -> pa.DataFrameSchema:
    checks = {name: _admitted(feature) for name, feature in spec.features.items()}
    for name, kind in spec.source.columns.items():
        whole = [pa.Check(_whole), pa.Check.in_range(-EXACT, EXACT)]
        checks[name] = whole if kind == "integer" else []
    checks[spec.target.name] = [pa.Check(_finite)]
    optional = {name for name, feature in spec.features.items() if feature.optional}
    nullable = (optional | set(spec.source.columns)) - {spec.split.group}
    return pa.DataFrameSchema(
        {name: pa.Column(checks=each, nullable=name in nullable) for name, each in checks.items()}
    )


def _admitted(feature: Feature) -> list[pa.Check]:
    if feature.type == "category":
        return [pa.Check.isin(feature.categories)]
    if feature.type == "boolean":
        return []
    low = -FLOAT32_MAX if feature.minimum is None else feature.minimum
    high = FLOAT32_MAX if feature.maximum is None else feature.maximum
    limits = [pa.Check.in_range(low, high)]
    return [*limits, pa.Check(_whole)] if feature.type == "integer" else limits


def _whole(values: pd.Series) -> pd.Series:
    return values % 1 == 0


def _finite(values: pd.Series) -> pd.Series:
    return np.isfinite(values) if values.dtype.kind == "f" else values.notna()


def _needed(spec: ModelSpec) -> dict[str, str]:
    needed = {name: feature.describe() for name, feature in spec.features.items()}
    needed |= {name: _CARRIED[kind] for name, kind in spec.source.columns.items()}
    target, group = spec.target, spec.split.group
    number = target.task == "regression" or isinstance(target.positive, (int, float))
    needed[target.name] = "a finite number" if number else "a class, a text or a finite number"
    if group is not None:
        needed[group] += ", for the split groups rows by it"
    return needed


def _told(faults: pd.DataFrame, frame: pd.DataFrame, needed: Mapping[str, str]) -> str:
    lines, missing = [], False
    for column in faults.columns[faults.any()]:
        rows = faults.index[faults[column]]
        missing = missing or bool(frame.loc[rows, column].isna().any())
        for row in rows[:SHOWN]:
            value = frame.loc[row, column]
            shown = "missing" if pd.isna(value) else f"{plain(value)!r} is not admitted"
            lines.append(f"column {column!r}, row {row + 1}: {shown}; needed is {needed[column]}")
        if len(rows) > SHOWN:
            lines.append(f"column {column!r}: {len(rows) - SHOWN:,} more rows like these")
    way_out = "correct the data, or the declaration of the column in params.yaml"
    if missing:
        way_out += " (a `fill` or `nullable: true` admits missing values of a feature)"
    return "\n".join([*lines, way_out])
