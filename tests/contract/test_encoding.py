"""Records become the one matrix a model sees."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treeline.contract.encoding import Encoder, Record
from treeline.contract.features import Feature, Value

FEATURES = {
    "soil": Feature(type="category", categories=("clay", "loam", "sand"), fill="loam"),
    "light": Feature(type="number", fill=0.5),
    "leaves": Feature(type="integer", nullable=True),
    "sterile": Feature(type="boolean"),
}
RECORD: Record = {"soil": "sand", "light": 0.25, "leaves": 4.0, "sterile": True}


def test_a_category_becomes_its_place_and_a_boolean_0_or_1() -> None:
    assert Encoder(FEATURES).row(RECORD) == [2.0, 0.25, 4.0, 1.0]


@pytest.mark.parametrize("left_out", [{}, {"soil": None, "light": None, "leaves": None}])
def test_a_missing_value_becomes_its_fill_or_nan(left_out: dict[str, None]) -> None:
    soil, light, leaves, sterile = Encoder(FEATURES).row({**left_out, "sterile": False})
    assert (soil, light, sterile) == (1.0, 0.5, 0.0)
    assert math.isnan(leaves)


def test_the_order_is_the_declared_one_not_the_one_sent() -> None:
    turned = dict(reversed(list(RECORD.items())))
    assert Encoder(FEATURES).row(turned) == Encoder(FEATURES).row(RECORD)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_matrix_is_float32_with_a_row_for_each_record(rows: int) -> None:
    matrix = Encoder(FEATURES).matrix([RECORD] * rows)
    assert matrix.dtype == np.float32
    assert matrix.shape == (rows, 4)


@given(st.lists(st.sampled_from(["clay", "loam", "sand"]), min_size=1))
def test_every_category_can_be_read_back_from_its_code(soils: list[str]) -> None:
    feature = {"soil": FEATURES["soil"]}
    codes = Encoder(feature).matrix([{"soil": soil} for soil in soils])[:, 0]
    assert [feature["soil"].categories[int(code)] for code in codes] == soils


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (Feature(type="number"), 0.25),
        (Feature(type="integer"), -3),
        (Feature(type="boolean"), True),
        (Feature(type="boolean"), False),
        (Feature(type="category", categories=("a", "b")), "b"),
    ],
)
def test_a_code_leads_back_to_the_value_and_its_type(feature: Feature, value: Value) -> None:
    codes = [feature.kind.code(feature, value), math.nan]
    decoded = feature.kind.decoded(feature.categories, codes)
    assert decoded == [value, None]
    assert type(decoded[0]) is type(value)
