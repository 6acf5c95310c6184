"""A simulated world that has changed: what differs, and that nothing does by default."""

from typing import Any

import pyarrow as pa
import pytest

from tests.checkout import ROOT
from treeline.config.sources import SimulateSource
from treeline.errors import SourceError
from treeline.sources.simulators import SimulatedTables

TREES = {"kind": "simulate", "simulator": "tree_experiment", "rows": 5566, "seed": 4}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def rows(**declared: Any) -> pa.Table:
    return pa.concat_tables(
        SimulatedTables(SimulateSource.model_validate(TREES | declared)).tables()
    )


def test_a_drift_of_nothing_changes_nothing() -> None:
    assert rows(drift={}).equals(rows())


def test_in_a_dry_year_more_seedlings_die() -> None:
    before, dry = (sum(rows(**each)["Event"].to_pylist()) for each in ({}, {"drift": {"dry": 1}}))
    assert dry > 1.15 * before


def test_a_sensor_measures_in_another_unit() -> None:
    before, after = rows(), rows(drift={"units": {"Light_ISF": 1000}})
    light = [1000 * value for value in before["Light_ISF"].to_pylist()]
    assert after["Light_ISF"].to_pylist() == pytest.approx(light)
    assert after.drop("Light_ISF").equals(before.drop("Light_ISF"))


def test_a_new_species_is_in_the_declared_share_of_rows() -> None:
    after = rows(drift={"newcomers": {"Species": "Fagus grandifolia"}, "share": 0.1})
    count = after["Species"].to_pylist().count("Fagus grandifolia")
    assert count / TREES["rows"] == pytest.approx(0.1, abs=0.02)


def test_labels_turn() -> None:
    before, after = rows(), rows(drift={"turned": ["Event"]})
    assert after["Event"].to_pylist() == [1 - event for event in before["Event"].to_pylist()]


@pytest.mark.parametrize(
    ("drift", "told"),
    [
        ({"units": {"Lihgt": 10}}, "there is no column 'Lihgt'; choose from No, Plot"),
        ({"units": {"Species": 10}}, "'Species' cannot be changed"),
        ({"dry": 1}, "only the tree experiment has a dry year"),
    ],
)
def test_what_cannot_drift_is_refused(drift: dict[str, Any], told: str) -> None:
    simulator = "card_fraud" if "dry" in drift else "tree_experiment"
    with pytest.raises(SourceError, match=told):
        rows(drift=drift, simulator=simulator)
