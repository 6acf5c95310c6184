"""How features are spread: the baseline that drift is told from."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treeline.contract.features import Feature
from treeline.export.provenance import reference

NUMBER = Feature(type="number", nullable=True)


def spread(values: Any, feature: Feature = NUMBER, dtype: str = "float64") -> Any:
    return reference(pd.DataFrame({"a": pd.Series(values, dtype=dtype)}), {"a": feature})["a"]


@given(st.lists(st.floats(-1e6, 1e6) | st.none() | st.sampled_from([0, 1.0, 1e9 + 1]), min_size=1))
def test_shares_sum_to_1_with_one_more_than_there_are_edges(values: list[float | None]) -> None:
    found = spread(values)
    known = [value for value in values if value is not None]
    assert sum(found.shares) == pytest.approx(1 if known else 0, abs=1e-5)
    assert len(found.shares) == len(found.edges) + 1 if known else not found.shares
    assert list(found.edges) == sorted(set(found.edges))
    assert found.missing == pytest.approx(1 - len(known) / len(values), abs=1e-6)


def test_even_numbers_fall_into_ten_even_bins() -> None:
    found = spread(np.arange(1000))
    assert found.shares == (0.1,) * 10
    assert found.edges == pytest.approx(np.arange(1, 10) * 99.9)
    assert (found.minimum, found.maximum, found.mean) == (0, 999, 499.5)
    assert found.deviation == pytest.approx(np.arange(1000).std(), rel=1e-5)


def test_a_constant_column_has_one_bin_that_holds_everything() -> None:
    found = spread([5.0] * 20)
    assert (found.edges, found.shares) == ((5.0,), (0.0, 1.0))
    assert found.deviation == 0


def test_edges_part_large_numbers_that_lie_close_together() -> None:
    found = spread(1_600_000_000 + np.arange(100))
    assert found.shares == (0.1,) * 10


def test_categories_are_counted_in_declared_order_even_where_none_came() -> None:
    feature = Feature(type="category", categories=("oak", "ash", "elm"), nullable=True)
    found = spread(["ash", "oak", "ash", None, "ash"], feature, "str")
    assert (found.shares, found.missing) == ((0.25, 0.75, 0.0), 0.2)


def test_booleans_are_counted_false_first() -> None:
    found = spread(
        [True, True, False, True, None], Feature(type="boolean", nullable=True), "boolean"
    )
    assert (found.shares, found.missing) == ((0.25, 0.75), 0.2)


def test_a_bin_holds_its_lower_edge_as_a_model_sees_it() -> None:
    """What has more digits than an edge is not put below it, nor is it in a log of batches."""
    value = 0.05068011873981862
    column = [value] * 60 + [-value] * 40
    for scale in (1, 3, 7, 0.1):
        numbers = pd.Series(np.array(column) * scale)
        found = reference(pd.DataFrame({"sex": numbers}), {"sex": Feature(type="number")})["sex"]
        logged = np.searchsorted(
            np.array(found.edges, np.float32), numbers.to_numpy(np.float32), side="right"
        )
        assert list(np.bincount(logged, minlength=len(found.shares)) / 100) == list(found.shares)
        assert found.shares[-1] == 0.6
