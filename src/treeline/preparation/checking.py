"""Rows against their declaration: types, categories, bounds and missing values, all at once."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from treeline.config.models import ModelSpec
from treeline.contract.admission import coded
from treeline.contract.features import KEY_PATTERN, KEY_WANTED, Feature, Target
from treeline.contract.kinds import INTEGER_MAX, is_number
from treeline.contract.problems import as_float, plain, shown, value_problem
from treeline.errors import DataError
from treeline.preparation.columns import (
    EXACT,
    cast,
    class_kind,
    column_of,
    numbers,
    parsed_value,
    texts,
    truths,
)


@contextmanager
def _spark_warnings_hidden() -> Iterator[None]:
    """Hide that Spark warns of pandas 3: pandera tries its pandas wherever Spark is installed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support", FutureWarning)
        yield


with _spark_warnings_hidden():
    import pandera.pandas as pandera
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
    `frame` has a column for each declared name, of shape (n_rows,) and any type.
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
        with _spark_warnings_hidden():
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
    if not (feature.categories and _is_floating(faulty) and faulty.notna().any()):
        return False
    spelt = pd.Series(feature.categories, dtype="str")
    known = numbers(spelt)
    own = known.notna() & (spelt != texts(known)) & (spelt != known.astype("str"))
    return bool(own.any())


def _target(column: pd.Series, target: Target, *, untyped: bool) -> pd.Series:
    """Return classes of one type: that of the positive class, where there is one."""
    if target.task == "regression":
        return numbers(column)
    if isinstance(target.positive, str):
        return texts(column, among=[target.positive])
    values = column.infer_objects()
    kind = class_kind(values, untyped=untyped)
    if isinstance(target.positive, bool) or (target.positive is None and kind == "boolean"):
        return truths(values)
    if kind == "boolean":
        values = truths(values).astype("Float64").astype("float64")
    return texts(values) if target.positive is None and kind == "text" else numbers(values)


def _schema(spec: ModelSpec) -> pandera.DataFrameSchema:
    """Return what is wanted of the target, of carried columns and of the group."""
    checks: dict[str, list[pandera.Check]] = {}
    for name, kind in spec.source.columns.items():
        whole = [pandera.Check(_whole), pandera.Check.in_range(-EXACT, EXACT)]
        checks[name] = whole if kind == "integer" else []
        if name == spec.source.key and kind == "text":
            checks[name] = [pandera.Check.str_matches(KEY_PATTERN)]
    checks[spec.target.name] = [pandera.Check(_finite)]
    if spec.target.task != "regression":
        checks[spec.target.name].append(pandera.Check(_exact))
    deciding = _deciding(spec)
    for name in deciding:
        checks.setdefault(name, [])
    nullable = set(spec.source.columns) - {*deciding, *spec.split.key}
    return pandera.DataFrameSchema(
        {
            name: pandera.Column(checks=each, nullable=name in nullable)
            for name, each in checks.items()
        }
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
                said = parsed_value(value, feature)
                words = value_problem(name, feature, said).message
                beyond = beyond or _is_beyond(said, feature)
            else:
                fault = "is missing" if value is None else f"{shown(value)} is not admitted"
                words = f"{fault}; give {needed[name]}"
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


THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2}\.[0-9]{3}\s*$"
FEW = 10  # with fewer values, that all have three digits after a dot is no wonder
BATCH_ROWS = 131_072


def doubts(raw: Path, spec: ModelSpec) -> list[str]:
    """Return a text for each column of numbers that may be whole thousands.

    Bounds can tell: there is no doubt where a thousand times as much is not admitted.
    """
    if not spec.source.untyped:
        return []
    types = {field.name: field.type for field in parquet.read_schema(raw)}
    return [
        f"column {name!r}: every value has three digits after one dot, such as {example}; it is "
        "read as a decimal number; if the dot separates thousands, take it away in the source, and "
        f"if not, `features.{name}.maximum` below {_thousandfold(example):g} says so"
        for name, feature in spec.features.items()
        if feature.type == "number" and _is_text(types.get(name))
        if (example := _example(raw, name, feature)) is not None
    ]


def _example(raw: Path, name: str, feature: Feature) -> str | None:
    """Return the first value of a column all of whose values may be thousands."""
    first, count = None, 0
    with parquet.ParquetFile(raw) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
            column = batch.column(0).drop_null()
            if not pc.all(pc.match_substring_regex(column, THOUSANDS), min_count=0).as_py():
                return None
            count += len(column)
            if first is None and len(column):
                first = column[0].as_py().strip()
    if first is None or count < FEW or not feature.admits(_thousandfold(first)):
        return None
    return str(first)


def _thousandfold(text: str) -> float:
    return float(re.sub(r"\.", "", text))


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))


MOST_LOST = 0.01  # of the different values of a column, those that become the same as another
FEW_STEPS = 2**20  # of float32 over a column; with more of them, values are lost by their number
NOISE = 1e-13  # of the size of a value: what rounding in doubles leaves of equal ones


def check_spacing(column_of: Callable[[str], pd.Series], features: Mapping[str, Feature]) -> None:
    """Raise DataError where float32 takes many different values of a column for the same.

    `column_of` returns the float64 values of a column of numbers by its name, NaN where missing.
    """
    lines = []
    for name, feature in features.items():
        if feature.kind.holds != "number":
            continue
        values: NDArray[np.float64] = column_of(name).to_numpy(np.float64, na_value=np.nan)
        if (counts := lost_in_float32(values)) is not None:
            lines.append(
                f"column {name!r}: {counts[0]:,} different numbers are {counts[1]:,} in float32, "
                "in which a model computes and which keeps about seven digits"
            )
    if lines:
        lines.append(
            "subtract an offset in the source (a time since the first day, say, not since 1970), "
            "or take a larger unit; and let callers send the same"
        )
        raise DataError("\n".join(lines))


def lost_in_float32(values: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return how many values of shape (n,) differ, and in float32, where too many are lost.

    A column whose middle half spreads over many steps of float32 is measured finely enough, however
    many of its values fall into one step.
    """
    exact = np.unique(values[np.isfinite(values)])
    if len(exact) < 2:
        return None
    single = np.unique(exact.astype(np.float32))
    low, high = np.quantile(exact, [0.25, 0.75])
    largest = max(abs(low), abs(high))
    spread = high - low
    many_steps = spread >= FEW_STEPS * float(np.spacing(np.float32(largest)))
    if len(single) >= (1 - MOST_LOST) * len(exact) or many_steps or spread <= NOISE * largest:
        return None
    return len(exact), len(single)
