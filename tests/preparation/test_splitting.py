"""Which rows are kept for the test, and which folds a search is judged on."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treeline.config.models import Split
from treeline.contract.features import Target
from treeline.errors import DataError
from treeline.preparation.splitting import folds, split

BINARY = Target(name="t", task="binary", positive=1)
REGRESSION = Target(name="t", task="regression")


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
)
def test_no_group_is_ever_on_both_sides(sizes: list[int], test: float, seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    frame = pd.DataFrame({"group": groups, "t": np.arange(len(groups), dtype=float)})
    declared = Split(test=test, group="group", seed=seed)
    train, held = split(frame, split=declared, target=REGRESSION)
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
def test_classes_keep_their_shares_on_both_sides(group: str | None) -> None:
    frame = rows(400, groups=20, positive_every=4)
    train, test = split(frame, split=Split(test=0.25, group=group), target=BINARY)
    assert train["t"].mean() == pytest.approx(0.25, abs=0.01)
    assert test["t"].mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("test", [0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 0.9])
def test_the_test_fraction_is_met_with_groups(test: float) -> None:
    frame = rows(1000, groups=100)
    _, held = split(frame, split=Split(test=test, group="group"), target=REGRESSION)
    assert len(held) / len(frame) == pytest.approx(test, abs=0.01)


@pytest.mark.parametrize("group", [None, "group"], ids=["rows", "groups"])
@pytest.mark.parametrize("target", [BINARY, REGRESSION], ids=["classes", "values"])
def test_the_same_seed_gives_the_same_split_and_another_seed_another(
    group: str | None, target: Target
) -> None:
    frame = rows(200, groups=20)
    first, again, other = (
        split(frame, split=Split(group=group, seed=seed), target=target)[1] for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert set(first["position"]) != set(other["position"])


def test_rows_stay_in_the_order_they_came() -> None:
    for side in split(rows(50), split=Split(), target=BINARY):
        assert side["position"].is_monotonic_increasing
        assert side.index.tolist() == list(range(len(side)))


@pytest.mark.parametrize(
    ("frame", "declared", "told"),
    [
        (rows(1), Split(), "1 rows cannot be split"),
        (rows(8, positive_every=8), Split(), "least populated class"),
        (rows(20, groups=1), Split(group="group"), "1 groups, too few for 2 parts"),
    ],
    ids=["one row", "a class of one row", "one group"],
)
def test_rows_that_cannot_be_split_are_told_with_the_way_out(
    frame: pd.DataFrame, declared: Split, told: str
) -> None:
    with pytest.raises(DataError) as error:
        split(frame, split=declared, target=BINARY)
    assert str(error.value).startswith("split: ")
    assert told in str(error.value)
    assert str(error.value).endswith("collect more rows, or declare another split")


def test_a_class_that_lives_in_one_group_cannot_be_on_both_sides() -> None:
    frame = rows(40, groups=4).assign(t=lambda table: (table["group"] == 0).astype(float))
    with pytest.raises(DataError, match=r"split: the t\w+ rows hold no row of class 1\.0; collect"):
        split(frame, split=Split(test=0.25, group="group"), target=BINARY)


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
