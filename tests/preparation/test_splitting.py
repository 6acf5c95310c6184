"""Which rows are kept for the test, and which folds a search is judged on."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treeline.config.blocks import Split
from treeline.config.models import ModelSpec
from treeline.contract.features import Target
from treeline.errors import DataError
from treeline.preparation import splitting
from treeline.preparation.splitting import folds, hashes, record

BINARY = Target(name="t", task="binary", positive=1)
REGRESSION = Target(name="t", task="regression")


def split(
    frame: pd.DataFrame, *, split: Split, target: Target
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows whose position is their key, if they are in no group."""
    by = [split.group or "position"]
    hashed = hashes(frame, by, seed=split.seed)
    return splitting.split(frame, hashed=hashed, split=split, target=target)


def rows(n: int, *, groups: int = 1, positive_every: int = 2) -> pd.DataFrame:
    """Return n rows that know their position, in groups, with two classes."""
    position = np.arange(n)
    return pd.DataFrame(
        {
            "position": position,
            "group": position % groups,
            "t": (position // groups % positive_every == 0).astype(float),
        }
    )


@given(
    sizes=st.lists(st.integers(2, 12), min_size=3, max_size=20),
    test=st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5, 0.8]),
    seed=st.integers(0, 100),
    rule=st.sampled_from(["stable", "drawn"]),
)
def test_no_group_is_ever_on_both_sides(
    sizes: list[int], test: float, seed: int, rule: Literal["stable", "drawn"]
) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    frame = pd.DataFrame({"group": groups, "t": np.arange(len(groups), dtype=float)})
    declared = Split(rule=rule, test=test, group="group", seed=seed)
    try:
        train, held = split(frame, split=declared, target=REGRESSION)
    except DataError as error:
        assert rule == "stable" and "none of the" in str(error)
        return
    assert not set(train["group"]) & set(held["group"])
    assert sorted([*train["t"], *held["t"]]) == frame["t"].tolist()


@given(
    sizes=st.lists(st.integers(1, 12), min_size=4, max_size=20),
    k=st.integers(2, 4),
    seed=st.integers(0, 100),
)
def test_no_group_ever_straddles_the_folds(sizes: list[int], k: int, seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    drawn = folds(None, n_rows=len(groups), groups=groups, k=k, seed=seed)
    assert all(not set(groups[train]) & set(groups[test]) for train, test in drawn)
    assert sorted(np.concatenate([test for _, test in drawn])) == list(range(len(groups)))


@pytest.mark.parametrize("group", [None, "group"], ids=["rows", "groups"])
def test_classes_that_are_drawn_keep_their_shares_on_both_sides(group: str | None) -> None:
    frame = rows(400, groups=20, positive_every=4)
    train, test = split(frame, split=Split(rule="drawn", test=0.25, group=group), target=BINARY)
    assert train["t"].mean() == pytest.approx(0.25, abs=0.01)
    assert test["t"].mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("test", [0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 0.9])
def test_the_test_fraction_is_met_with_groups_that_are_drawn(test: float) -> None:
    frame = rows(1000, groups=100)
    _, held = split(frame, split=Split(rule="drawn", test=test, group="group"), target=REGRESSION)
    assert len(held) / len(frame) == pytest.approx(test, abs=0.01)


@pytest.mark.parametrize("group", [None, "group"], ids=["rows", "groups"])
@pytest.mark.parametrize("target", [BINARY, REGRESSION], ids=["classes", "values"])
@pytest.mark.parametrize("rule", ["stable", "drawn"])
def test_the_same_seed_gives_the_same_split_and_another_seed_another(
    group: str | None, target: Target, rule: Literal["stable", "drawn"]
) -> None:
    frame = rows(200, groups=20)
    first, again, other = (
        split(frame, split=Split(rule=rule, group=group, seed=seed), target=target)[1]
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert set(first["position"]) != set(other["position"])


@pytest.mark.parametrize(
    ("sizes", "different"), [([9] * 4, 4), (list(range(9, 30)), 1), ([9] * 60, 10)]
)
def test_drawn_groups_tell_how_many_splits_some_seeds_give(
    declaration: dict[str, Any], sizes: list[int], different: int
) -> None:
    declaration["split"] = {"rule": "drawn", "group": "Plot", "test": 0.25}
    spec = ModelSpec.model_validate(declaration)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    frame = pd.DataFrame({"Plot": groups, "Event": groups != np.roll(groups, 1)})
    found = record(spec, hashes(frame, ["Plot"], seed=0), frame, test=10)["seeds"]
    assert found == {"tried": 10, "different": different}


def test_rows_stay_in_the_order_they_came() -> None:
    for side in split(rows(50), split=Split(), target=BINARY):
        assert side["position"].is_monotonic_increasing
        assert side.index.tolist() == list(range(len(side)))


@pytest.mark.parametrize(
    ("frame", "declared", "told"),
    [
        (rows(1), Split(rule="drawn"), "1 rows cannot be split"),
        (rows(8, positive_every=8), Split(rule="drawn"), "least populated class"),
        (rows(20, groups=1), Split(rule="drawn", group="group"), "1 groups, too few for 2 parts"),
    ],
    ids=["one row", "a class of one row", "one group"],
)
def test_rows_that_cannot_be_drawn_are_told_with_the_way_out(
    frame: pd.DataFrame, declared: Split, told: str
) -> None:
    with pytest.raises(DataError) as error:
        split(frame, split=declared, target=BINARY)
    assert str(error.value).startswith("split: ")
    assert told in str(error.value)
    assert str(error.value).endswith("collect more rows, or declare another split")


@pytest.mark.parametrize(
    ("frame", "group", "words"),
    [
        (rows(1), None, "none of the 1 rows is on the side of the test: they have 1 different"),
        (rows(20, groups=1), "group", "none of the 20 rows is on the side of the test: they have "
         "1 groups, of which a share of 0.25 is for the test"),
        (rows(40, groups=10).assign(t=lambda table: (table["group"] == 0).astype(float)), "group",
         "rows hold no row of class 1.0"),
    ],
    ids=["one row", "one group", "a class in one group"],
)  # fmt: skip
def test_a_side_without_rows_or_without_a_class_is_refused_with_the_way_out(
    frame: pd.DataFrame, group: str | None, words: str
) -> None:
    with pytest.raises(DataError) as error:
        split(frame, split=Split(test=0.25, group=group, seed=1), target=BINARY)
    assert words in str(error.value)
    assert "; collect more rows, or declare another split (`test`, `seed`" in str(error.value)


@given(
    first=st.lists(st.integers(0, 10**6), min_size=60, max_size=100, unique=True),
    more=st.lists(st.integers(0, 10**6), max_size=60, unique=True),
    seed=st.integers(0, 20),
)
def test_rows_that_are_added_or_removed_move_no_other_row(
    first: list[int], more: list[int], seed: int
) -> None:
    def sides(keys: list[int]) -> dict[int, str]:
        frame = pd.DataFrame({"position": keys, "t": 0.0})
        both = split(frame, split=Split(test=0.3, seed=seed), target=REGRESSION)
        return {
            key: side
            for side, table in zip(("train", "test"), both, strict=True)
            for key in table["position"]
        }

    before = sides(first)
    after = sides(sorted({*first, *more}, reverse=True))
    assert all(after[key] == side for key, side in before.items())


@pytest.mark.parametrize("test", [0.05, 0.2, 0.3, 0.5, 0.9])
def test_about_the_declared_share_of_many_rows_is_for_the_test(test: float) -> None:
    _, held = split(rows(20_000), split=Split(test=test), target=REGRESSION)
    assert len(held) / 20_000 == pytest.approx(test, abs=4 * (test * (1 - test) / 20_000) ** 0.5)


def test_too_few_groups_for_the_folds_are_told() -> None:
    with pytest.raises(ValueError, match="there are 3 groups, too few for 5 parts"):
        folds(None, n_rows=6, groups=np.array([0, 0, 1, 1, 2, 2]), k=5, seed=0)


@pytest.mark.parametrize("group", [False, True], ids=["rows", "groups"])
def test_a_class_too_rare_to_be_in_every_fold_is_told(group: bool) -> None:
    classes = np.array([1] * 2 + [0] * 28)
    groups = np.arange(30) % 10 if group else None
    with pytest.raises(
        ValueError, match="a class is missing in one of the 5 parts; it needs 5 row"
    ):
        folds(classes, n_rows=30, groups=groups, k=5, seed=0)
