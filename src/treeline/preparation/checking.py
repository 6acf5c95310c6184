"""Rows against their declaration: types, categories, bounds and missing values, all at once."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from treeline.config.models import ModelSpec
from treeline.contract.admission import coded
from treeline.contract.features import Feature, Target
from treeline.contract.keys import KEY_PATTERN, KEY_WANTED
from treeline.contract.kinds import INTEGER_MAX, is_number
from treeline.contract.problems import as_float, plain, shown, value_problem
from treeline.errors import DataError
from treeline.preparation.casting import (
    EXACT,
    cast,
    class_kind,
    column_of,
    numbers,
    said_by,
    texts,
    truths,
)


@contextmanager
def _spark_unheard() -> Iterator[None]:
    """Hide that Spark warns of pandas 3: pandera tries its pandas wherever Spark is installed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support", FutureWarning)
        yield


with _spark_unheard():
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

WIDE_INTEGERS = (
    f"a model computes in float32, which has no whole number beyond {INTEGER_MAX} for itself: "
    "subtract an offset or take a larger unit in the source, declare a category if it is a code, "
    "or `type: number` if its first seven digits will do"
)
LOST_SPELLING = (
    "the source holds numbers there, as a DECIMAL of a database becomes one, which have no "
    "spelling of their own (1.10 is 1.1): cast the column to text in a `query`, or declare 1.1"
)
SHOWN = 5  # faults named per column before the rest is only counted

_CARRIED = {"number": "a number", "integer": "a whole number", "text": "a text"}


def check(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return a typed copy of declared columns, index kept: 0 for the first row of the data.

    Numbers become float64, booleans nullable booleans, categories and texts strings, whole-number
    columns nullable integers. Raises DataError that names column, row and value of each fault.
    """
    typed = {name: cast(frame[name], feature) for name, feature in spec.features.items()}
    typed[spec.target.name] = _target(
        frame[spec.target.name], spec.target, untyped=spec.source.untyped
    )
    for name, kind in spec.source.columns.items():
        typed[name] = texts(frame[name]) if kind == "text" else numbers(frame[name])
    checked = pd.DataFrame(typed, index=frame.index)
    faults = checked.isna() & frame[list(typed)].notna()
    for name, feature in spec.features.items():
        column = column_of(frame[name], checked[name], feature)
        faults[name] = coded(column, feature)[1] | _is_two(frame[name], feature)
    try:
        with _spark_unheard():
            _schema(spec).validate(checked, lazy=True)
    except SchemaErrors as errors:
        for column, row in errors.failure_cases[["column", "index"]].itertuples(index=False):
            faults.loc[row, column] = True
    if faults.any(axis=None):
        raise DataError(_refusal(faults, frame, spec))
    kinds = {name: "Int64" for name, kind in spec.source.columns.items() if kind == "integer"}
    if checked[spec.target.name].dtype == "boolean":
        kinds[spec.target.name] = "bool"  # no class is missing now, and scikit-learn knows no other
    return checked.astype(kinds)


def _is_floating(column: pd.Series) -> bool:
    return column.dtype.kind == "f"


def _is_two(column: pd.Series, feature: Feature) -> Any:
    """Tell which numbers of a column are more than one category, such as 1.1 and 1.10."""
    if not (feature.categories and _is_floating(column)):
        return False
    spelt = numbers(pd.Series(feature.categories, dtype="str")).dropna()
    return column.isin(spelt[spelt.duplicated()])


def _is_respelt(faulty: pd.Series, feature: Feature) -> bool:
    """Tell whether numbers are refused where a category is a number in a spelling of its own."""
    spelt = pd.Series(feature.categories, dtype="str")
    known = numbers(spelt)
    own = known.notna() & (spelt != texts(known)) & (spelt != known.astype("str"))
    return bool(_is_floating(faulty) and faulty.notna().any() and own.any())


def _target(column: pd.Series, target: Target, *, untyped: bool) -> pd.Series:
    """Return classes of one type: that of the positive class, where there is one."""
    if target.task == "regression":
        return numbers(column)
    if isinstance(target.positive, str):
        return texts(column, among=[target.positive])
    found = column.infer_objects()
    kind = class_kind(found, untyped=untyped)
    if isinstance(target.positive, bool) or (target.positive is None and kind == "boolean"):
        return truths(found)
    if kind == "boolean":
        found = truths(found).astype("Float64").astype("float64")
    return texts(found) if target.positive is None and kind == "text" else numbers(found)


def _schema(spec: ModelSpec) -> pa.DataFrameSchema:
    """Return what is wanted of the target, of carried columns and of the group."""
    checks: dict[str, list[pa.Check]] = {}
    for name, kind in spec.source.columns.items():
        whole = [pa.Check(_whole), pa.Check.in_range(-EXACT, EXACT)]
        checks[name] = whole if kind == "integer" else []
        if name == spec.source.key and kind == "text":
            checks[name] = [pa.Check.str_matches(KEY_PATTERN)]
    checks[spec.target.name] = [pa.Check(_finite)]
    if spec.target.task != "regression":
        checks[spec.target.name].append(pa.Check(_exact))
    deciding = _deciding(spec)
    for name in deciding:
        checks.setdefault(name, [])
    nullable = set(spec.source.columns) - {*deciding, *spec.split.key}
    return pa.DataFrameSchema(
        {name: pa.Column(checks=each, nullable=name in nullable) for name, each in checks.items()}
    )


def _deciding(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns without whose value a row has no side, whatever they are."""
    split = spec.split
    return (*([split.group] if split.group is not None else []), *(split.after or ()))


def _whole(values: pd.Series) -> pd.Series:
    return values % 1 == 0


def _finite(values: pd.Series) -> pd.Series:
    return np.isfinite(values) if values.dtype.kind == "f" else values.notna()


def _exact(values: pd.Series) -> pd.Series:
    """Tell which classes are none of two whole numbers that float64 takes for one."""
    return values.abs() <= EXACT if values.dtype.kind == "f" else values.notna()


def _needed(spec: ModelSpec) -> dict[str, str]:
    """Return what is wanted of each column that is no feature."""
    needed = {name: _CARRIED[kind] for name, kind in spec.source.columns.items()}
    if spec.source.key is not None:
        needed[spec.source.key] = f"{KEY_WANTED}, for the key names a row"
    target = spec.target
    if isinstance(target.positive, bool):
        needed[target.name] = "true or false"
    elif target.task == "regression" or isinstance(target.positive, int | float):
        needed[target.name] = "a finite number"
    else:
        needed[target.name] = "a class, a text or a finite number"
    return needed


def _refusal(faults: pd.DataFrame, frame: pd.DataFrame, spec: ModelSpec) -> str:
    """Return what is wrong, column by column, with the words of every other door, and a way out."""
    lines, missing, beyond, needed = [], False, False, _needed(spec)
    for name in faults.columns[faults.any()]:
        rows = faults.index[faults[name]]
        missing = missing or bool(frame.loc[rows, name].isna().any())
        reason = ", for the split groups rows by it" if name == spec.split.group else ""
        reason = (
            ", for it decides the side of a row"
            if name in (*spec.split.key, *(spec.split.after or ()))
            else reason
        )
        for row in rows[:SHOWN]:
            held = frame.loc[row, name]
            value = None if pd.api.types.is_scalar(held) and pd.isna(held) else plain(held)
            if (feature := spec.features.get(name)) is not None:
                said = said_by(value, feature)
                words = value_problem(name, feature, said).message
                beyond = beyond or _is_beyond(said, feature)
            else:
                found = "is missing" if value is None else f"{shown(value)} is not admitted"
                words = f"{found}; give {needed[name]}"
            lines.append(f"column {name!r}, row {row + 1}: {words}{reason}")
        if len(rows) > SHOWN:
            lines.append(f"column {name!r}: {len(rows) - SHOWN:,} more rows like these")
    way_out = "correct the data, or the declaration of the column in params.yaml"
    if any(
        _is_respelt(frame.loc[faults[name], name], spec.features[name]) for name in spec.features
    ):
        way_out += f"; {LOST_SPELLING}"
    if missing:
        way_out += " (a `fill` or `nullable: true` admits missing values of a feature)"
        if spec.split.after is not None:
            way_out += "; rows that have no side may be left out by `source.where`"
    return "\n".join([*lines, way_out, *([WIDE_INTEGERS] if beyond else [])])


def _is_beyond(value: object, feature: Feature) -> bool:
    """Tell whether a value breaks the limit of whole numbers, and no declared bound."""
    if not (feature.kind.whole and is_number(value)):
        return False
    return feature.kind.broken_limit(feature, as_float(value)) != ""
