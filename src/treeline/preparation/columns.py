"""Which columns and rows of a source count, and each column → the type it is declared to have."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from math import inf
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from treeline.config.models import ModelSpec
from treeline.config.sources import Condition, Range, Scalar, admitted
from treeline.contract.admission import matched
from treeline.contract.features import Feature
from treeline.contract.kinds import Column
from treeline.contract.problems import as_float, plain
from treeline.contract.texts import TRUTHS, number_of
from treeline.errors import DataError

ClassKind = Literal["number", "boolean", "text"]

TRUTH_WORDS = ("true", "false")
FLOATED = r"-?(?:0|[1-9][0-9]*)\.0"
NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.0|\.[0-9]*[1-9])?"
NUMBERS = (int, float, Decimal, np.number)
EXACT = 2.0**53  # float64 holds every whole number up to here


def numbers(column: pd.Series) -> pd.Series:
    """Return float64; dates, true and false are no numbers. Texts are decimal, as in JSON.

    Shapes of column and result are (n_rows,).
    """
    if column.dtype.kind in "iuf":
        return column.astype("float64")
    if column.dtype.kind in "bmM":
        return pd.Series(np.nan, index=column.index, name=column.name)
    if column.dtype == "str":
        with suppress(pa.ArrowInvalid):  # twenty times as fast where every text is a number
            trimmed = pc.utf8_trim(pa.array(column, pa.string()), characters=" \t")
            values = pc.cast(trimmed, pa.float64()).to_numpy(zero_copy_only=False)
            return pd.Series(values, index=column.index, name=column.name)
    if column.dtype == object:  # in which true is no 1, though it equals it
        values = np.array([*map(_number, column)], dtype=np.float64)
    else:
        codes, different = pd.factorize(column)
        values = np.array([*map(_number, different), np.nan])[codes]
    return pd.Series(values, index=column.index, name=column.name)


def truths(column: pd.Series) -> pd.Series:
    """Return nullable booleans, from true or false in any spelling, or from 1 or 0.

    Shapes of column and result are (n_rows,).
    """
    return column.astype("str").str.lower().map(TRUTHS).astype("boolean")


def texts(column: pd.Series, *, among: Sequence[str] = ()) -> pd.Series:
    """Return strings, in the spelling that the source has.

    Where it has a type instead: whole numbers without a decimal point, true and false as `among`
    has them. A file in which all are spelt 1.0, or true in any case, was written from such a type.
    Shapes of column and result are (n_rows,).
    """
    known = column.dropna().infer_objects()
    if known.dtype.kind == "b":
        return column.map(_truths_among(among)).astype("str")
    if known.dtype.kind == "f":
        known = known.astype("float64")
    if known.dtype.kind in "iuf" and (known % 1 == 0).all() and (known.abs() <= EXACT).all():
        column = column.astype("Int64")
    column = column.astype("str")
    if known.dtype == "str" and among and not known.isin(among).all():
        return _respelt(column, known, among)
    return column


def class_kind(column: pd.Series, *, untyped: bool) -> ClassKind:
    """Tell what classes are; where the source has only texts, what all of them are spelt as.

    Numbers, where each is spelt as its number is: `1` and `2.5`, not `05`, `1.10` or `1e3`.
    """
    known = column.dropna()
    if not (untyped and known.dtype == "str"):
        kinds: dict[str, ClassKind] = {"b": "boolean", "i": "number", "u": "number", "f": "number"}
        return kinds.get(known.dtype.kind, "text")
    if len(known) and known.str.fullmatch(NUMBER).all():
        return "number"
    return "boolean" if len(known) and known.str.lower().isin(TRUTH_WORDS).all() else "text"


def _respelt(column: pd.Series, known: pd.Series, among: Sequence[str]) -> pd.Series:
    """Return texts as `among` spells them, where all are those of a type."""
    if known.str.fullmatch(FLOATED).all():
        return column.str.removesuffix(".0")
    if known.str.lower().isin(TRUTH_WORDS).all():
        words = {str(truth).lower(): word for truth, word in _truths_among(among).items()}
        return column.str.lower().map(words).astype("str")
    return column


def _truths_among(among: Sequence[str]) -> dict[bool, str]:
    spelt = {word.lower(): word for word in (*TRUTH_WORDS, *among)}
    return {True: spelt["true"], False: spelt["false"]}


def cast(column: pd.Series, feature: Feature) -> pd.Series:
    """Return float64 of numbers, nullable booleans, or strings of categories.

    Shapes of column and result are (n_rows,).
    """
    if feature.kind.holds == "text":
        return texts(column, among=feature.categories)
    return truths(column) if feature.kind.holds == "boolean" else numbers(column)


def column_of(given: pd.Series, typed: pd.Series, feature: Feature) -> Column:
    """Return a column, as it was given and after `cast`, as the rule takes it.

    Both series have shape (n_rows,).
    """
    missing = given.isna().to_numpy(dtype=np.bool_)
    holds = feature.kind.holds

    def value(row: int) -> object:
        return parsed_value(given.iloc[row], feature)

    if holds == "text":
        places, different = pd.factorize(typed)
        return Column(
            holds, missing, value, match=lambda known: matched(different.tolist(), places, known)
        )
    numbers_of = typed.to_numpy(dtype=np.float64, na_value=np.nan)
    return Column(holds, missing, value, numbers=numbers_of)


def parsed_value(value: object, feature: Feature) -> object:
    """Return the value that a source's says to a feature, as plain Python."""
    held = plain(value)
    return feature.kind.parsed(held) if isinstance(held, str) else held


def _number(value: object) -> float:
    """Return the number that a value is, or that a text says; NaN for none, true and false."""
    if isinstance(value, str):
        said = number_of(value)
        return np.nan if isinstance(said, str) else said
    if isinstance(value, bool | np.bool_) or not isinstance(value, NUMBERS):
        return np.nan
    return as_float(plain(value))


SHOWN = 8  # values of a column named in a message


def declared_columns(raw: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return the declared columns of a frame, features first; raises DataError naming lost ones.

    Shape (n_rows, n_columns); types are as they come.
    """
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

    A value is met however the source writes it: 0 by 0, 0.0, "0" and false. Shape (n_some,
    n_columns), the index kept.
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
    """Return the frame with the declared fill in place of each missing value.

    Shape and types stay.
    """
    fills = {name: feature.fill for name, feature in features.items() if feature.fill is not None}
    return frame.fillna(fills)


def meets(column: pd.Series, condition: Condition) -> pd.Series:
    """Return which rows of a column meet a condition. Booleans of shape (n_rows,)."""
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
