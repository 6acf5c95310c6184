"""Both splits → what gives the answer away: twins, telling features, ids, time, groups. Pure.

Columns are looked at one at a time, so that memory holds one of them, whatever the number of rows;
of very many rows MOST_ROWS of either side are looked at, while twins are counted among all.
Nothing here decides: the gate (`treeline.evaluation.gate`) says in words what is clear, and what is
allowed.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from treeline.config.models import ModelSpec
from treeline.records.summary import AlikeGroups, Clock, LeakRecord, Twins

Array = NDArray[Any]
Column = Callable[[str], tuple[pd.Series, pd.Series]]  # of the training and of the test split

MOST_ROWS = 200_000
BINS = 64  # of a number, by its training rows: each holds as many
FEWEST_TEST_ROWS = 20  # below, one feature tells the target by luck
ALONE = 0.97  # of what the commonest class (or the mean) leaves open
FOLLOWS = 0.98  # rank correlation with the order of rows: a clock
WORTH_A_CLOCK = 0.3  # of what is open: less, and a clock decides little
FALLS_BY = 0.2  # of the same, from random rows to later ones
IN_ORDER = 0.99  # of pairs that a feature ranks as the target does, those that it does not left out
AGREES_BY = 0.3  # intraclass correlation of the target in a column that is no feature
MINUTE = 60  # seconds
LOOKS = 11  # stretches of the order of rows
FEWEST_GROUPS = 8
FEWEST_NUMBERS = 21  # values of a target in an order; so many classes hardly follow one feature


def leaks(column: Column, spec: ModelSpec) -> LeakRecord:
    """Return what is suspicious, as plain data; `column` gives the two sides of a named column.

    `twins` counts test rows whose features are those of a training row, and how many would be by
    chance, were features independent. `telling` lists features that alone tell nearly all of the
    target, `ids` whole numbers that differ in every row, `clocks` features that follow the order of
    rows and tell less of later rows, `groups` columns whose rows share their target.
    """
    target = column(spec.target.name)
    truth = _sampled(target)
    suspicions: LeakRecord = {
        "twins": twins(column, spec),
        "telling": [],
        "ids": [],
        "clocks": [],
        "groups": [],
    }
    classes = spec.target.task != "regression"
    for name, feature in spec.features.items():
        sides = column(name)
        values, rows = _sampled(sides), sum(map(len, sides))
        if feature.kind.holds == "number" and _is_id(values, rows):
            suspicions["ids"].append(name)
            continue
        alone = _explained(values, truth, classes=classes)
        later = _later(values[0], truth[0], classes=classes)
        if later is not None and alone >= WORTH_A_CLOCK and alone - later >= FALLS_BY:
            clock: Clock = {"feature": name, "random": round(alone, 4), "later": round(later, 4)}
            suspicions["clocks"].append(clock)
        elif alone >= ALONE and len(truth[1]) >= FEWEST_TEST_ROWS:
            suspicions["telling"].append({"feature": name, "alone": round(alone, 4)})
    forward = spec.split.after is not None  # later rows judge already, and no group is beside it
    suspicions["clocks"] = [] if forward else suspicions["clocks"]
    suspicions["groups"] = [] if spec.split.group or forward else _groups(column, spec, truth[0])
    return suspicions


def twins(column: Column, spec: ModelSpec) -> Twins:
    """Count test rows that have a twin among the training rows, and those with its target."""
    rng, seed = np.random.default_rng(0), np.uint64(0xCBF29CE484222325)
    sides: list[Array] = []
    shuffled: list[Array] = []
    for name in spec.features:
        for place, side in enumerate(column(name)):
            if len(sides) <= place:
                sides.append(np.full(len(side), seed))
                shuffled.append(np.full(len(side), seed))
            hashed = _hashed(side)
            sides[place] = _mixed(sides[place], hashed)
            shuffled[place] = _mixed(shuffled[place], rng.permutation(hashed))
    train, test = sides
    twin = np.isin(test, train)
    with_target = [
        _mixed(side, _hashed(of)) for side, of in zip(sides, column(spec.target.name), strict=True)
    ]
    same = np.isin(with_target[1], with_target[0])
    return {
        "test_rows": int(twin.sum()),
        "share": round(float(twin.mean()), 4),
        "by_chance": round(float(np.isin(shuffled[1], shuffled[0]).mean()), 4),
        "same_target": round(float(same[twin].mean()), 4) if twin.any() else None,
    }


def of_frames(train: pd.DataFrame, test: pd.DataFrame) -> Column:
    """Return the columns of two frames.

    Both have the same columns, each of shape (n_rows,) of its side.
    """
    return lambda name: (train[name], test[name])


def _hashed(side: pd.Series) -> Array:
    return np.asarray(pd.util.hash_pandas_object(side, index=False), dtype=np.uint64)


def _mixed(digest: Array, hashed: Array) -> Array:
    """Join two digests, in which the order counts (FNV-1a, of 64 bits)."""
    joined: Array = (digest ^ hashed) * np.uint64(0x100000001B3)
    joined ^= joined >> np.uint64(29)
    return joined


def _numbers(side: pd.Series, *, of: pd.Series) -> Array:
    """Return a column as float64: numbers as they are, else the place among the values of `of`."""
    if pd.api.types.is_numeric_dtype(side) or pd.api.types.is_bool_dtype(side):
        return side.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
    known = pd.Index(of.dropna().unique()).sort_values()
    places = known.get_indexer(side).astype(np.float64)
    return np.where(places < 0, np.nan, places)


def _sampled(sides: tuple[pd.Series, pd.Series]) -> tuple[Array, Array]:
    """Return at most MOST_ROWS of either side as numbers, evenly spaced, in order."""
    train, test = (_spaced(side) for side in sides)
    return _numbers(train, of=train), _numbers(test, of=train)


def _spaced(side: pd.Series) -> pd.Series:
    step = -(-len(side) // MOST_ROWS) or 1
    return side.iloc[::step]


def _is_id(values: tuple[Array, Array], rows: int) -> bool:
    """Tell whether whole numbers differ in every row and are as dense as a count of the `rows`.

    Counted is in the largest step that all of them are multiples of, from the first. Numbers that
    are unique by chance, such as amounts in cents, are far apart in theirs; steps of whole minutes
    are those of times.
    """
    both = np.concatenate(values)
    if len(both) < 2 * FEWEST_TEST_ROWS or not np.isfinite(both).all() or (both % 1).any():
        return False
    different = np.unique(both)
    if len(different) < len(both) or np.abs(different[[0, -1]]).max() >= 2**53:
        return False
    step = int(np.gcd.reduce(np.diff(different).astype(np.int64)))
    return step % MINUTE != 0 and np.ptp(different) < 2 * rows * step


def _explained(values: tuple[Array, Array], truth: tuple[Array, Array], *, classes: bool) -> float:
    """Return how much of the target that a feature alone tells, learnt on the first side.

    A value is looked up: in a bin with as many rows as any other, or by itself where there are few.
    1 is all that the commonest class (or the mean) leaves open, 0 nothing. A number that has nearly
    the order of the target tells it too, wherever the limits of the bins are.
    """
    (known, tested), (_learnt, actual) = values, truth
    if not len(known) or not len(tested):
        return 0.0
    if (ordered := abs(_ordered(tested, actual))) >= IN_ORDER:
        return ordered
    left, open_ = _left_open(values, truth, _limits(known), classes=classes)
    return max(0.0, 1 - left / open_) if open_ else 0.0


def _limits(known: Array) -> Array:
    """Return where bins of a number begin and end: at each value, or at BINS quantiles."""
    finite = known[np.isfinite(known)]
    distinct = np.unique(finite)
    if len(distinct) <= BINS:
        return distinct
    return np.unique(np.quantile(finite, np.arange(1, BINS) / BINS))


def _left_open(
    values: tuple[Array, Array], truth: tuple[Array, Array], limits: Array, *, classes: bool
) -> tuple[float, float]:
    """Return what a look-up leaves open of the second side, and what the commonest answer does.

    Counted in rows of another class, or in squares of the target.
    """
    learnt, actual = truth
    places, at = (np.where(np.isnan(side), 0, 1 + np.searchsorted(limits, side)) for side in values)
    count = len(limits) + 2
    if not classes:
        rows = np.maximum(np.bincount(places, minlength=count), 1)
        means = np.bincount(places, weights=learnt, minlength=count) / rows
        left, open_ = np.sum((actual - means[at]) ** 2), np.sum((actual - learnt.mean()) ** 2)
        return float(left), float(open_)
    names, codes = np.unique(learnt, return_inverse=True)
    counts = np.zeros((count, len(names)))
    np.add.at(counts, (places, codes), 1)
    usual = names[np.argmax(counts.sum(axis=0))]
    guessed = np.where(counts.sum(axis=1) > 0, names[counts.argmax(axis=1)], usual)
    return float(np.sum(actual != guessed[at])), float(np.sum(actual != usual))


def _ordered(values: Array, truth: Array) -> float:
    """Return how far two columns have one order, from -1 to 1 (Somers 1962; of numbers Spearman).

    Of more than two classes, which have no order, and of columns with missing values, 0.
    """
    classes = np.unique(truth)
    if len(values) < FEWEST_TEST_ROWS or not np.isfinite(values).all() or len(classes) < 2:
        return 0.0
    ranks = rankdata(values)
    if len(classes) == 2:
        hit = truth == classes[1]
        area = float(ranks[hit].sum() - hit.sum() * (hit.sum() + 1) / 2)
        return 2 * area / float(hit.sum() * (~hit).sum()) - 1
    if len(classes) < FEWEST_NUMBERS or ranks.std() == 0:
        return 0.0
    return float(np.corrcoef(ranks, rankdata(truth))[0, 1])


def _later(values: Array, truth: Array, *, classes: bool) -> float | None:
    """Return how much a feature that follows the order of rows tells of later ones.

    Each of LOOKS - 1 stretches of rows is predicted from all before it.
    """
    if len(values) < 5 * FEWEST_TEST_ROWS or not np.isfinite(values).all():
        return None
    ranks = rankdata(values)
    if ranks.std() == 0 or abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) < FOLLOWS:
        return None
    ends = np.linspace(0, len(values), LOOKS + 1).astype(np.intp)[1:]
    looks = [
        _left_open(
            (values[:at], values[at:end]),
            (truth[:at], truth[at:end]),
            _limits(values[:at]),
            classes=classes,
        )
        for at, end in pairwise(ends.tolist())
    ]
    left, open_ = np.sum(looks, axis=0)
    return max(0.0, 1 - float(left / open_)) if open_ else None


def _groups(column: Column, spec: ModelSpec, truth: Array) -> list[AlikeGroups]:
    """Return the carried columns whose rows are alike in their target, where no group is declared.

    By the intraclass correlation (Shrout and Fleiss 1979, case 1) of the target: of the positive
    class, or of each class against the rest, the largest.
    """
    entries: list[AlikeGroups] = []
    indicators = [truth]
    if spec.target.task != "regression":
        indicators = [(truth == code).astype(np.float64) for code in np.unique(truth)]
    for name in spec.source.columns:
        if name == spec.source.key or name in spec.split.key:  # the second decides the side already
            continue
        codes, distinct = pd.factorize(_spaced(column(name)[0]))
        rows = np.bincount(codes[codes >= 0], minlength=len(distinct))
        if len(distinct) < FEWEST_GROUPS or len(codes) < 2 * len(distinct) or (codes < 0).any():
            continue
        alike = max(_intraclass(indicator, codes, rows) for indicator in indicators)
        if alike >= AGREES_BY:
            entries.append({"column": name, "groups": len(distinct), "alike": round(alike, 4)})
    return entries


def _intraclass(values: Array, codes: Array, rows: Array) -> float:
    groups, n = len(rows), len(values)
    means = np.bincount(codes, weights=values, minlength=groups) / rows
    between = float(np.sum(rows * (means - values.mean()) ** 2)) / (groups - 1)
    within = float(np.sum((values - means[codes]) ** 2)) / (n - groups)
    typical = (n - float(np.sum(rows.astype(np.float64) ** 2)) / n) / (groups - 1)
    whole = between + (typical - 1) * within
    return (between - within) / whole if whole else 0.0
