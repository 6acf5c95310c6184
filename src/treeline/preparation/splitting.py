"""Which rows are kept for the test, and which folds a search is judged on. Pure."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from treeline.config.blocks import Moment, Split
from treeline.config.models import ModelSpec
from treeline.contract.features import Target
from treeline.errors import DataError
from treeline.preparation.columns import filled
from treeline.records.summary import SplitRecord

AFTER_RULE = "after"  # of a split, in its record

Array = NDArray[Any]


def moments(column: pd.Series, after: Moment) -> Array:
    """Return when each row was, shape (n_rows,): float64 numbers, or int64 microseconds since 1970.

    Which of them, `after` decides: texts are times where it is one, as ISO 8601 writes them, in UTC
    where they name no zone. Raises DataError where a value is missing, or no such time.
    """
    if isinstance(after, str):
        known = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    else:
        known = column
    if (lost := known.isna()).any():
        value = column[lost].iloc[0]
        raise DataError(
            f"split.after.{column.name}: {_words(value)} is no {_wanted(after)}, so that "
            f"{lost.sum():,} rows are neither before nor after; correct the source, or "
            "leave such rows out by `source.where`"
        )
    if isinstance(after, str):
        return known.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    return known.to_numpy(dtype=np.float64)


def later(frame: pd.DataFrame, after: Mapping[str, Moment]) -> NDArray[np.bool_]:
    """Return which rows are after the declared moment, bool of shape (n_rows,)."""
    ((name, moment),) = after.items()
    limit = moments(pd.Series([moment], name=name), moment)[0]
    after_limit: NDArray[np.bool_] = moments(frame[name], moment) > limit
    return after_limit


def moments_of(frame: pd.DataFrame, after: Mapping[str, Moment]) -> Array:
    """Return when each row was, by the column that `split.after` names.

    int64 microseconds since 1970 or float64, of shape (n_rows,).
    """
    ((name, moment),) = after.items()
    return moments(frame[name], moment)


def stretches(times: Array, count: int) -> NDArray[np.intp]:
    """Return the stretch of each row, from 0, shape (n_rows,): `count` of about as many rows each.

    Rows of one moment are in one stretch, so that there are fewer where many share theirs.
    """
    before = np.searchsorted(np.sort(times), times, side="left")
    return np.unique(before * count // max(len(times), 1), return_inverse=True)[1]


def forward_folds(
    classes: Any | None, times: Array, *, k: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return k pairs of row positions (train, test): each stretch of time, and all before it.

    The first of k + 1 stretches is only learnt from. Raises ValueError when there are too few
    moments, or when a part would miss a class of `classes`, shape (n_rows,).
    """
    stretch_of = stretches(times, k + 1)
    if len(times) and (there := int(stretch_of.max()) + 1) <= k:
        raise ValueError(
            f"{len(np.unique(times)):,} different moments make {there} stretches of time, and "
            f"{k} parts need {k + 1}"
        )
    drawn = [
        (np.flatnonzero(stretch_of < part), np.flatnonzero(stretch_of == part))
        for part in range(1, k + 1)
    ]
    if classes is not None:
        known, whole = np.asarray(classes), len(np.unique(classes))
        if any(len(np.unique(known[rows])) < whole for pair in drawn for rows in pair):
            raise ValueError(
                f"a class is missing in one of the {k + 1} stretches of time; it needs rows in each"
            )
    return drawn


def _words(value: Any) -> str:
    return "a missing value" if pd.isna(value) else repr(value)


def _wanted(after: Moment) -> str:
    return "time like 2026-01-31" if isinstance(after, str) else "number"


Hashes = NDArray[np.uint64]

HASH_RULE = "treeline split 1"  # another rule needs another name: whoever compares looks at it
EXACT = 2**53  # up to here 7 and 7.0 are one number, whatever the type of the column
_MISSING = np.uint64(0x6D697373696E6721)


def named_by(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns whose values decide the side of a row, in the order of the hash."""
    if spec.split.after is not None:
        return tuple(spec.split.after)
    if spec.split.group is not None:
        return (spec.split.group,)
    return spec.split.key or tuple(sorted(spec.features))


def row_hashes(checked: pd.DataFrame, spec: ModelSpec) -> Hashes:
    """Return the hash that decides the side of each checked row, uint64 of shape (n_rows,).

    Missing values count as their fill, so that the rows of both splits still have their hashes.
    """
    names = named_by(spec)
    features = {name: spec.features[name] for name in names if name in spec.features}
    return hashes(filled(checked[[*names]], features), names, seed=spec.split.seed)


def hashes(frame: pd.DataFrame, names: Sequence[str], *, seed: int) -> Hashes:
    """Return a 64-bit hash, uint64 of shape (n_rows,), of the values of some columns.

    Texts, numbers, booleans and missing values are admitted. A number has one hash in every type
    of column (7, 7.0), and 0 is -0. The order of the names counts, the names themselves do not.
    """
    state = np.full(len(frame), _of_text(f"{HASH_RULE} {seed}"), dtype=np.uint64)
    for name in names:
        state = _mixed(state ^ _mixed(_of_values(frame[name])))
    return state


def places(hashed: Hashes) -> NDArray[np.float64]:
    """Return the place of each hash in [0, 1), float64 of the same shape."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _of_values(column: pd.Series) -> Hashes:
    kind = column.dtype.kind
    if kind in "biuf":
        return _of_numbers(column)
    codes, different = pd.factorize(column)
    table = [_of_text(str(value)) for value in different]
    return np.array([*table, _MISSING], dtype=np.uint64)[codes]


def _of_numbers(column: pd.Series) -> Hashes:
    missing = column.isna().to_numpy(dtype=np.bool_)
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # -0.0 becomes 0.0
    bits = numbers.view(np.uint64).copy()
    if column.dtype.kind in "iu":
        whole = column.to_numpy(dtype=np.int64, na_value=0)
        large = (whole > EXACT) | (whole < -EXACT)
        bits[large] = whole.view(np.uint64)[large]
    bits[missing] = _MISSING
    return bits


def _of_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(state: Hashes) -> Hashes:
    """Mix the bits of each number: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = state ^ (state >> np.uint64(31))
    return mixed


Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]

PARTS = 10  # with drawn groups, a test fraction is rounded to tenths, unless it is smaller
FEW_GROUPS = 100  # of more, hardly two seeds draw the same
SEEDS = 10
WAY_OUT = "collect more rows, or declare another split (`test`, `seed`, or a finer `group`)"


def record(spec: ModelSpec, hashed: Hashes, frame: pd.DataFrame, *, test: int) -> SplitRecord:
    """Return how rows with these hashes were split, for the summary, and the share that came out.

    `units` is how many different hashes decided: of groups, keys, rows or moments. Of groups that
    are drawn, `seeds` says how many different splits some seeds give: rows of `frame` hold target
    and group. `hashed` is uint64 of shape (n_rows,).
    """
    split = spec.split
    units, share = len(np.unique(hashed)), round(test / len(hashed), 4)
    if split.after is not None:
        names = list(split.after)
        return {
            "rule": AFTER_RULE,
            "by": "moment",
            "names": names,
            "after": dict(split.after),
            "units": units,
            "share": share,
        }
    by = "group" if split.group is not None else "key" if split.key else "values"
    drawn = split.rule == "drawn" and by == "group" and units <= FEW_GROUPS
    sides: SplitRecord = {
        "rule": HASH_RULE if split.rule == "stable" else split.rule,
        "by": by,
        "names": list(named_by(spec)),
        "units": units,
        "seed": split.seed,
        "test": split.test,
        "share": share,
    }
    if drawn:
        sides["seeds"] = {"tried": SEEDS, "different": _different(frame, spec)}
    return sides


def _different(frame: pd.DataFrame, spec: ModelSpec) -> int:
    """Count the different splits that SEEDS seeds draw; with few groups, many are the same."""
    classes = None if spec.target.task == "regression" else frame[spec.target.name]
    seeds = [spec.split.seed + more for more in range(SEEDS)]
    declared = [spec.split.model_copy(update={"seed": seed}) for seed in seeds]
    return len({np.sort(_drawn(frame, classes, each)[1]).tobytes() for each in declared})


def split(
    frame: pd.DataFrame, *, hashed: Hashes, split: Split, target: Target
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in two, in the order they came; raises DataError where that is impossible.

    By the rule `stable` the rows whose place, that of their hash in `hashed`, is below the test
    fraction are for the test: no other row has a say, so that each keeps its side when rows are
    added or removed, and rows or groups with the same hash are on the same side. Sizes are left to
    chance. By the rule `drawn` classes keep their shares, and all rows decide together. With
    `after` the rows beyond that moment are for the test; `frame` must hold its column. `hashed` is
    uint64 of shape (n_rows,).
    """
    classes = None if target.task == "regression" else frame[target.name]
    rows = np.arange(len(frame))
    if split.after is not None:
        train, test = _forward(frame, split.after)
    elif split.rule == "stable":
        held = places(hashed) < split.test
        train, test = rows[~held], rows[held]
        _has_rows(split, hashed, train=len(train), test=len(test))
    else:
        train, test = _drawn(frame, classes, split)
    if classes is not None:
        _has_every_class({"train": classes.iloc[train], "test": classes.iloc[test]}, classes, split)
    return _taken(frame, train), _taken(frame, test)


def _forward(frame: pd.DataFrame, after: Mapping[str, Moment]) -> Fold:
    held = later(frame, after)
    if held.all() or not held.any():
        ((name, moment),) = after.items()
        times = moments_of(frame, after)
        first, last = frame[name].iloc[[int(times.argmin()), int(times.argmax())]]
        raise DataError(
            f"split.after.{name}: {'all' if held.any() else 'none'} of the {len(frame):,} rows are "
            f"after {moment}; they go from {first} to {last}: declare a value between"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def _drawn(frame: pd.DataFrame, classes: pd.Series | None, split: Split) -> Fold:
    try:
        if split.group is not None:
            return _grouped(frame[split.group].to_numpy(), classes, split)
        train, test = train_test_split(
            np.arange(len(frame)),
            test_size=split.test,
            random_state=split.seed,
            stratify=classes,
        )
    except ValueError as error:
        raise DataError(
            f"split: {len(frame):,} rows cannot be split as declared: {str(error).rstrip('.')}; "
            "collect more rows, or declare another split"
        ) from error
    return train, test


def _has_rows(split: Split, hashed: Hashes, *, train: int, test: int) -> None:
    """Refuse a side without rows: with few units of the hash, chance may leave one empty."""
    if train and test:
        return
    units, what = len(np.unique(hashed)), "different rows" if split.group is None else "groups"
    if split.key:
        what = "different keys"
    raise DataError(
        f"split: none of the {train + test:,} rows is on the side of the "
        f"{'test' if train else 'training'}: they have {units:,} {what}, of which a share of "
        f"{split.test:g} is for the test, by their hashes; {WAY_OUT}, or `rule: drawn`"
    )


def folds(
    classes: Any | None, *, n_rows: int, groups: NDArray[Any] | None, k: int, seed: int
) -> list[Fold]:
    """Return k pairs of row positions (train, test), shuffled by seed.

    Stratified where `classes` of shape (n_rows,) are given, with no group of `groups` on both
    sides where those are. Raises ValueError when there are too few rows or groups, or when a part
    would miss a class: most metrics are undefined there.
    """
    drawn = _parts(classes, n_rows=n_rows, groups=groups, k=k, seed=seed)
    if classes is not None:
        known, all_classes = np.asarray(classes), len(np.unique(classes))
        if any(len(np.unique(known[test])) < all_classes for _, test in drawn):
            needed = "rows" if groups is None else "rows in as many groups"
            raise ValueError(f"a class is missing in one of the {k} parts; it needs {k} {needed}")
    return drawn


def _parts(
    classes: Any | None, *, n_rows: int, groups: NDArray[Any] | None, k: int, seed: int
) -> list[Fold]:
    if groups is None:
        kind = KFold if classes is None else StratifiedKFold
    else:
        kind = GroupKFold if classes is None else StratifiedGroupKFold
        if len(pd.unique(groups)) < k:
            raise ValueError(f"there are {len(pd.unique(groups))} groups, too few for {k} parts")
    folder = kind(n_splits=k, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # of a rare class, whose absence callers look for themselves
        warnings.simplefilter("ignore", UserWarning)
        return list(folder.split(np.zeros(n_rows), classes, groups))


def _grouped(groups: NDArray[Any], classes: Any | None, split: Split) -> Fold:
    """Cut the groups into k equal parts and keep as many of them as the test fraction asks for."""
    most = max(2, min(len(pd.unique(groups)), max(PARTS, round(1 / split.test))))
    share = Fraction(split.test).limit_denominator(most)
    share = min(max(share, Fraction(1, most)), Fraction(most - 1, most))
    k, n_test = share.denominator, share.numerator
    parts = _parts(classes, n_rows=len(groups), groups=groups, k=k, seed=split.seed)
    test = np.concatenate([rows for _, rows in parts[:n_test]])
    return np.setdiff1d(np.arange(len(groups)), test), test


def _has_every_class(sides: dict[str, pd.Series], classes: pd.Series, split: Split) -> None:
    way_out = WAY_OUT if split.after is None else "collect more rows, or declare another `after`"
    for side, values in sides.items():
        if lost := sorted(set(classes) - set(values)):
            raise DataError(f"split: the {side} rows hold no row of class {lost[0]!r}; {way_out}")


def _taken(frame: pd.DataFrame, positions: Rows) -> pd.DataFrame:
    return frame.iloc[np.sort(positions)].reset_index(drop=True)
