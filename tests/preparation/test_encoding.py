"""Whole columns are encoded exactly as the service encodes records."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeline.contract.encoding import Encoder
from treeline.contract.features import Feature
from treeline.errors import DataError
from treeline.preparation.encoding import encoded, encoded_target
from treeline.tables import read_frame, write_frame

FEATURES = {
    "number": Feature(type="number", nullable=True),
    "filled": Feature(type="number", fill=-1.5),
    "whole": Feature(type="integer", nullable=True),
    "truth": Feature(type="boolean", nullable=True),
    "filled truth": Feature(type="boolean", fill=True),
    "word": Feature(type="category", categories=("oak", "", "ash"), nullable=True),
    "filled word": Feature(type="category", categories=("oak", "ash"), fill="ash"),
}
DTYPES = {"number": "float64", "integer": "float64", "boolean": "boolean", "category": "str"}


def value_of(feature: Feature) -> st.SearchStrategy[Any]:
    if feature.type == "category":
        return st.none() | st.sampled_from(feature.categories)
    if feature.type == "boolean":
        return st.none() | st.booleans()
    if feature.type == "integer":
        return st.none() | st.integers(-(2**24), 2**24).map(float)
    return st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)


RECORDS = st.lists(
    st.fixed_dictionaries({name: value_of(feature) for name, feature in FEATURES.items()}),
    min_size=1,
    max_size=8,
)


def framed(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return records as a frame with the types that checking gives."""
    return pd.DataFrame(
        {
            name: pd.Series([record[name] for record in records], dtype=DTYPES[feature.type])
            for name, feature in FEATURES.items()
        }
    )


@given(RECORDS)
@settings(max_examples=150)
def test_a_frame_is_encoded_like_its_records(records: list[dict[str, Any]]) -> None:
    frame = encoded(framed(records), FEATURES)
    assert list(frame) == list(FEATURES)
    assert set(frame.dtypes) == {np.dtype("float32")}
    np.testing.assert_array_equal(frame.to_numpy(), Encoder(FEATURES).matrix(records))


def test_a_frame_is_encoded_alike_before_and_after_it_is_written(tmp_path: Path) -> None:
    frame = framed([dict.fromkeys(FEATURES), {**dict.fromkeys(FEATURES), "truth": True}])
    write_frame(tmp_path / "frame.parquet", frame)
    read = encoded(read_frame(tmp_path / "frame.parquet"), FEATURES)
    pd.testing.assert_frame_equal(read, encoded(frame, FEATURES))


@pytest.mark.parametrize(
    ("values", "classes", "codes"),
    [
        ([0.0, 1.0, 1.0], [1.0, 0.0], [1, 0, 0]),
        (["dead", "alive"], ["alive", "dead"], [1, 0]),
    ],
    ids=["numbers", "texts"],
)
def test_a_class_becomes_its_position(
    values: list[Any], classes: list[Any], codes: list[int]
) -> None:
    found = encoded_target(pd.Series(values, name="t"), classes)
    assert found.dtype == np.int64
    assert found.tolist() == codes


def test_without_classes_values_stay_as_they_are() -> None:
    found = encoded_target(pd.Series([1.5, 2.5], name="t"), None)
    assert found.dtype == np.float64
    assert found.tolist() == [1.5, 2.5]


def test_a_class_that_is_not_declared_is_told() -> None:
    with pytest.raises(DataError, match=r"target 't': 3\.0 is none of the classes 0\.0, 1\.0; run"):
        encoded_target(pd.Series([0.0, 3.0], name="t"), [0.0, 1.0])
