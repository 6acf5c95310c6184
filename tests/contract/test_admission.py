"""The rule for columns and the path of one record admit the same, with the same codes and words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from treeline.contract.admission import admit, coded, matched
from treeline.contract.features import Feature
from treeline.contract.kinds import FLOAT32_MAX, INTEGER_MAX, Column, Holds
from treeline.contract.problems import value_problem

BOUNDS = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([-1e300, 1e300, 0.1, 2.0**60])
TEXTS = st.text(max_size=3) | st.sampled_from(["oak", "Oak", " oak", "e\u0301", "\u00e9", "1", ""])
EDGES = [
    0.0,
    -0.0,
    0.1,
    1e-50,
    FLOAT32_MAX,
    1e39,
    INTEGER_MAX,
    2.0**24 + 1,
    2.0**53,
    2.0**60,
    1e300,
]
NUMBERS = (
    st.floats()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([sign * edge for edge in EDGES for sign in (1, -1)])
)


@st.composite
def numeric(draw: st.DrawFn) -> Feature:
    low, high = draw(BOUNDS), draw(BOUNDS)
    assume(low is None or high is None or low <= high)
    kind = draw(st.sampled_from(["number", "integer"]))
    return Feature(type=kind, minimum=low, maximum=high, nullable=draw(st.booleans()))


@st.composite
def textual(draw: st.DrawFn) -> Feature:
    categories = draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
    return Feature(type="category", categories=tuple(categories), nullable=draw(st.booleans()))


def column(values: list[Any]) -> Column:
    """Return a column of numbers, truths or texts, None where one is missing."""
    missing = np.array([value is None for value in values])
    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        places = np.arange(len(values))
        return Column(
            "text", missing, values.__getitem__, match=lambda texts: matched(values, places, texts)
        )
    holds: Holds = "boolean" if any(isinstance(value, bool) for value in known) else "number"
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    return Column(holds, missing, values.__getitem__, numbers=numbers)


def one(value: Any, feature: Feature) -> tuple[float | None, bool]:
    """Return the code of a value, as the path of one record has it, and whether it is refused."""
    if value is None:
        return None, not feature.optional
    try:
        held = TypeAdapter(feature.kind.annotation(feature)).validate_python(value)
    except ValidationError:
        return None, True
    return feature.kind.code(feature, held), False


def compared(values: list[Any], feature: Feature) -> None:
    codes, refused = coded(column(values), feature)
    assert refused.tolist() == [one(value, feature)[1] for value in values]
    for value, code, bad in zip(values, codes.tolist(), refused.tolist(), strict=True):
        assert bad != (value is not None and feature.admits(value)) or value is None
        if value is not None and not bad:
            assert code == one(value, feature)[0]
    admission = admit({"a": column(values)}, {"a": feature}, n_rows=len(values))
    assert np.isfinite(admission.matrix[~refused & ~column(values).missing]).all()
    for row in np.flatnonzero(refused).tolist():
        (problem,) = admission.problems(row)
        assert problem == value_problem("a", feature, values[row])


@given(numeric(), st.lists(st.none() | NUMBERS, min_size=1, max_size=6))
@example(Feature(type="integer", maximum=2.0**60), [2**24, 2**24 + 1, 2**60])
@example(Feature(type="number", maximum=1e300), [1e39, FLOAT32_MAX])
def test_numbers_are_admitted_alike(feature: Feature, values: list[Any]) -> None:
    compared(values, feature)


@given(textual(), st.lists(st.none() | TEXTS, min_size=1, max_size=6))
def test_texts_are_admitted_alike(feature: Feature, values: list[Any]) -> None:
    compared(values, feature)


@given(
    numeric() | textual() | st.just(Feature(type="boolean")),
    st.lists(st.booleans(), min_size=1)
    | st.lists(st.integers(0, 1), min_size=1)
    | st.lists(TEXTS, min_size=1),
)
def test_values_of_another_type_are_refused_alike(feature: Feature, values: list[Any]) -> None:
    compared(values, feature)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_column_that_is_left_out_is_missing_in_every_row(rows: int) -> None:
    features = {"a": Feature(type="number", fill=2), "b": Feature(type="number", nullable=True)}
    admission = admit({}, features, n_rows=rows)
    assert admission.matrix.dtype == np.float32
    np.testing.assert_array_equal(admission.matrix, [[2, np.nan]] * rows or np.empty((0, 2)))
    assert admission.counts().tolist() == [0] * rows
