"""The examples that ship: nothing in their rows is taken for a leak."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from examples.seedlings.season import main
from tests.checkout import ROOT
from tests.commanding import treeline
from treeline.config import Layout, read_params
from treeline.evaluation.gate import judge_leaks
from treeline.preparation.leaks import leaks, of_frames
from treeline.preparation.whole import prepare
from treeline.stages.collect import collect


@pytest.mark.parametrize("example", ["penguins", "fraud", "seedlings"])
def test_no_alarm_for_the_rows_of_an_example(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if example == "penguins":
        pytest.importorskip("connectorx", reason="needs connectorx: make setup-dev")
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / f"examples/{example}/params.yaml", "params.yaml")
    shutil.copytree(ROOT / "dataset/sources/simulate", "dataset/sources/simulate")
    if example == "penguins":
        treeline("penguins")
    if example == "seedlings":
        CliRunner().invoke(main, ["begin"], catch_exceptions=False)
    ((name, spec),) = read_params(Path("params.yaml")).models.items()
    collect(spec, Layout(name))
    rows = prepare(pd.read_parquet(Layout(name).raw), spec)
    found = leaks(of_frames(rows.train, rows.test), spec)
    assert judge_leaks(found, spec.gate.leaks) == ([], [])
