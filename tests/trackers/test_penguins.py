"""The example `penguins`: rows from a table, a grid of 27 settings, and all of them in MLflow."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs mlflow: make setup-dev")
pytest.importorskip("connectorx", reason="needs connectorx: make setup-dev")

from mlflow import MlflowClient

from tests.checkout import ROOT
from tests.commanding import treeline
from tests.trackers.training import Training
from treeline.trackers.mlflow import CHALLENGER

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_all_27_settings_are_in_mlflow_and_the_best_one_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copyfile(ROOT / "examples/penguins/params.yaml", "params.yaml")
    shutil.copytree(ROOT / "dataset/sources/simulate", "dataset/sources/simulate")
    treeline("penguins")
    training = Training(tmp_path, "penguins")
    assert training.train(), "the gate lets it pass"
    treeline("track", "--if-chosen")  # the declaration chooses MLflow

    client = MlflowClient(f"sqlite:///{tmp_path}/.treeline/mlflow.db")
    experiment = client.get_experiment_by_name("penguins")
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], "tags.`treeline.candidate` = 'forest'", max_results=1000
    )
    settings = {tuple(sorted(run.data.params.items())) for run in found}
    assert len(found) == len(settings) == 27
    best = min(found, key=lambda run: run.data.metrics["cv/log_loss"])
    assert best.data.tags["treeline.best"] == "true"
    version = client.get_model_version_by_alias("penguins", CHALLENGER)
    parent = client.get_run(str(version.run_id))
    assert parent.data.metrics["cv/log_loss"] == best.data.metrics["cv/log_loss"]
