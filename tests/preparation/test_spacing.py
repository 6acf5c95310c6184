"""Numbers that float32 cannot tell apart are refused when rows are prepared, with the way out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project
from treeline.errors import DataError
from treeline.preparation import in_parts, whole
from treeline.preparation.checking import lost_in_float32
from treeline.stages.collect import collect

RNG = np.random.default_rng(5)
HOUR = 3_600_000  # in milliseconds
SINCE_1970 = 1_764_000_000_000


@pytest.mark.parametrize(
    ("values", "left"),
    [
        (SINCE_1970 + np.linspace(0, HOUR, 3000).round(), 28),
        (SINCE_1970 / 1000 + np.arange(3000.0), 25),
        (1e-50 * np.arange(1, 100.0), 1),
        (20_000_000 + np.arange(1000.0), 500),
        (np.r_[0, 1e9 + np.arange(50.0)], 2),
    ],
    ids=["milliseconds", "seconds", "below float32", "a large offset", "with a zero"],
)
def test_values_that_become_the_same_are_lost(values: np.ndarray, left: int) -> None:
    counts = lost_in_float32(values)
    assert counts is not None and counts[0] == len(values)
    assert counts[1] == pytest.approx(left, abs=2)


@pytest.mark.parametrize(
    "values",
    [
        RNG.random(1_000_000),
        RNG.normal(1e6, 1e5, 20_000),
        RNG.lognormal(10, 3, 50_000).round(2),
        np.linspace(0, HOUR, 3000).round(),
        SINCE_1970 / 1000 + RNG.integers(0, 10 * 365 * 86400, 3000),
        np.array([0.3, 0.1 + 0.2, 0.3]),
        np.array([np.nan, 7.0, np.inf]),
        np.zeros(0),
    ],
    ids=["many", "large", "money", "since midnight", "ten years", "rounding", "one", "none"],
)
def test_measurements_that_float32_keeps_are_taken(values: np.ndarray) -> None:
    assert lost_in_float32(values) is None


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_a_column_of_times_is_refused_when_rows_are_prepared(project: Project, parts: bool) -> None:
    collect(project.spec, project.paths)
    raw = pd.read_parquet(project.paths.raw)
    name = next(n for n, each in project.spec.features.items() if each.type == "number")
    raw[name] = SINCE_1970 + np.arange(len(raw)) * 1000.0
    raw.to_parquet(project.paths.raw)
    spec = project.spec.model_copy(
        update={
            "features": {
                **project.spec.features,
                name: project.spec.features[name].model_copy(
                    update={"minimum": None, "maximum": None}
                ),
            }
        }
    )
    there = replace(project.paths, root=Path())
    with pytest.raises(DataError) as error:
        if parts:
            in_parts.prepare_parts(spec, there, part_rows=16)
        else:
            whole.prepare_files(spec, there)
    text = str(error.value)
    assert f"column {name!r}: " in text and " different numbers are " in text
    assert "subtract an offset in the source" in text
    assert not there.train.exists()
