"""What is kept of the bad rows of a part is bounded, whatever they hold."""

import pytest

from api.contract.faults import MAX_PROBLEMS, Faults
from treeline.errors import Problem

LONG = "x" * 100_000
KEPT = 2_000  # characters of one problem, all of its fields together
VALUES = {
    "a text": LONG,
    "a list": [LONG] * 10,
    "a list in lists": [[[[LONG]]]],
    "a mapping": {LONG: LONG},
    "a whole number": 10**4000,
    "bytes": LONG.encode(),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_long_value_is_cut(value: object) -> None:
    faults = Faults(1)
    faults.explain(0, [Problem("Soil", "is not admitted", value)])
    (kept,) = faults.by_row[0].problems
    assert len(repr(kept)) < KEPT


def test_a_long_name_a_long_message_and_many_categories_are_cut() -> None:
    faults = Faults(1)
    categories = tuple(f"category {number}" for number in range(10_000))
    faults.explain(0, [Problem(LONG, LONG, 1.5, categories)])
    (kept,) = faults.by_row[0].problems
    assert len(repr(kept)) < KEPT
    assert kept.value == 1.5


def test_of_many_problems_of_a_row_all_are_counted_and_the_first_are_kept() -> None:
    faults = Faults(1)
    faults.explain(0, [Problem(f"c{number}", "is no feature") for number in range(50_000)])
    assert faults.by_row[0].count == 50_000
    assert [each.place for each in faults.by_row[0].problems] == [
        f"c{number}" for number in range(MAX_PROBLEMS)
    ]


def test_of_many_rows_all_are_counted_and_the_first_are_explained() -> None:
    faults = Faults(2)
    for row in range(2):
        assert faults.explaining
        faults.explain(row, [Problem("Soil", "is not admitted")])
    assert not faults.explaining
    faults.count(2, 7)
    assert faults.by_row[2].count == 7 and faults.by_row[2].problems == ()
