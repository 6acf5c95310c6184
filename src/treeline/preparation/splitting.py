"""Which rows are kept for the test, and which folds a search is judged on."""

import warnings
from collections.abc import Mapping
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

from treeline.config.models import ModelSpec
from treeline.config.split import Moment, Split
from treeline.contract.features import Target
from treeline.errors import DataError
from treeline.preparation import forward
from treeline.preparation.hashing import RULE, Hashes, named_by, places

Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]

PARTS = 10  # with drawn groups, a test fraction is rounded to tenths, unless it is smaller
FEW_GROUPS = 100  # of more, hardly two seeds draw the same
SEEDS = 10
WAY_OUT = "collect more rows, or declare another split (`test`, `seed`, or a finer `group`)"


def record(spec: ModelSpec, found: Hashes, frame: pd.DataFrame, *, test: int) -> dict[str, Any]:
    """Return how rows with these hashes were split, for the summary, and the share that came out.

    `units` is how many different hashes decided: of groups, keys, rows or moments. Of groups that
    are drawn, `seeds` says how many different splits some seeds give: rows of `frame` hold target
    and group.
    """
    split = spec.split
    units, share = len(np.unique(found)), round(test / len(found), 4)
    if split.after is not None:
        names = list(split.after)
        sides = {"rule": forward.RULE, "by": "moment", "names": names, "after": split.after}
        return {"split": sides | {"units": units, "share": share}}
    by = "group" if split.group is not None else "key" if split.key else "values"
    drawn = split.rule == "drawn" and by == "group" and units <= FEW_GROUPS
    seeds = {"seeds": {"tried": SEEDS, "different": _different(frame, spec)}} if drawn else {}
    return {
        "split": {
            "rule": RULE if split.rule == "stable" else split.rule,
            "by": by,
            "names": list(named_by(spec)),
            "units": units,
            "seed": split.seed,
            "test": split.test,
            "share": share,
        }
        | seeds
    }


def _different(frame: pd.DataFrame, spec: ModelSpec) -> int:
    """Count the different splits that SEEDS seeds draw; with few groups, many are the same."""
    classes = None if spec.target.task == "regression" else frame[spec.target.name]
    seeds = [spec.split.seed + more for more in range(SEEDS)]
    declared = [spec.split.model_copy(update={"seed": seed}) for seed in seeds]
    return len({np.sort(_drawn(frame, classes, each)[1]).tobytes() for each in declared})


def split(
    frame: pd.DataFrame, *, found: Hashes, split: Split, target: Target
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows in two, in the order they came; raises DataError where that is impossible.

    By the rule `stable` the rows whose place, that of their hash in `found`, is below the test
    fraction are for the test: no other row has a say, so that each keeps its side when rows are
    added or removed, and rows or groups with the same hash are on the same side. Sizes are left
    to chance. By the rule `drawn` classes keep their shares, and all rows decide together. With
    `after` the rows beyond that moment are for the test; `frame` must hold its column.
    """
    classes = None if target.task == "regression" else frame[target.name]
    rows = np.arange(len(frame))
    if split.after is not None:
        train, test = _forward(frame, split.after)
    elif split.rule == "stable":
        held = places(found) < split.test
        train, test = rows[~held], rows[held]
        _has_rows(split, found, train=len(train), test=len(test))
    else:
        train, test = _drawn(frame, classes, split)
    if classes is not None:
        _has_every_class({"train": classes.iloc[train], "test": classes.iloc[test]}, classes, split)
    return _taken(frame, train), _taken(frame, test)


def _forward(frame: pd.DataFrame, after: Mapping[str, Moment]) -> Fold:
    held = forward.later(frame, after)
    if held.all() or not held.any():
        ((name, moment),) = after.items()
        times = forward.moments_of(frame, after)
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


def _has_rows(split: Split, found: Hashes, *, train: int, test: int) -> None:
    """Refuse a side without rows: with few units of the hash, chance may leave one empty."""
    if train and test:
        return
    units, what = len(np.unique(found)), "different rows" if split.group is None else "groups"
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
    k, kept = share.denominator, share.numerator
    parts = _parts(classes, n_rows=len(groups), groups=groups, k=k, seed=split.seed)
    test = np.concatenate([rows for _, rows in parts[:kept]])
    return np.setdiff1d(np.arange(len(groups)), test), test


def _has_every_class(sides: dict[str, pd.Series], classes: pd.Series, split: Split) -> None:
    way_out = WAY_OUT if split.after is None else "collect more rows, or declare another `after`"
    for side, found in sides.items():
        if lost := sorted(set(classes) - set(found)):
            raise DataError(f"split: the {side} rows hold no row of class {lost[0]!r}; {way_out}")


def _taken(frame: pd.DataFrame, positions: Rows) -> pd.DataFrame:
    return frame.iloc[np.sort(positions)].reset_index(drop=True)
