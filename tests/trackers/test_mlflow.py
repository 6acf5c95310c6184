"""MLflow without a server: runs, versions and aliases in the file of a checkout."""

import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlflow", reason="needs mlflow: make setup-dev")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SADeprecationWarning

from tests.commanding import treeline
from tests.trackers.training import Training
from treeline.artifact.store import ArtifactStore
from treeline.commands.publish import publish
from treeline.delivery import tracking
from treeline.errors import TrackingError
from treeline.trackers import outbox

# MLflow 3.17 asks SQLAlchemy 2.1 for what that calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a store in which nothing is recorded; making its tables takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SADeprecationWarning)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(training: Training, empty: Path) -> MlflowClient:
    """Return a client of the store in the scratch repository."""
    path = training.root / ".treeline" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(empty, path)
    return MlflowClient(f"sqlite:///{path}")


def runs(client: MlflowClient, name: str) -> tuple[list[Run], list[Run]]:
    """Return the runs of trainings, the oldest first, and those of trials."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    nested = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return [run for run in found if run not in nested], nested


def aliases(client: MlflowClient, name: str) -> dict[str, int]:
    found = client.get_registered_model(name).aliases
    return {alias: int(version) for alias, version in found.items()}


def test_a_training_is_a_run_and_each_of_its_27_trials_is_one_nested_in_it(
    training: Training, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    treeline("track")
    [parent], nested = runs(client, training.name)
    trees = [run for run in nested if run.data.tags["treeline.candidate"] == "tree"]
    assert (len(trees), len(nested)) == (27, 28)
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *nested]} == {"FINISHED"}
    assert trees[0].data.params.keys() >= {"max_depth", "min_samples_leaf", "criterion"}
    folds = client.get_metric_history(trees[0].info.run_id, "folds/roc_auc")
    assert sorted(fold.step for fold in folds) == [1, 2, 3]
    mean = np.mean([fold.value for fold in folds])
    assert trees[0].data.metrics["cv/roc_auc"] == pytest.approx(mean)
    assert parent.data.metrics["test/roc_auc"] == 1
    assert parent.data.tags["treeline.verdict"] == "passed"
    assert parent.data.params["champion"] == "tree"
    assert "version 1, challenger" in capsys.readouterr().out
    files = {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    assert files >= {"images", "plots", "model", "card.md", "report.md", "training.json"}


def test_recording_again_adds_nothing(training: Training, client: MlflowClient) -> None:
    treeline("track")
    [parent], nested = runs(client, training.name)
    treeline("track")
    again, nested_again = runs(client, training.name)
    assert [run.info.run_id for run in again] == [parent.info.run_id]
    assert len(nested_again) == len(nested)
    [version] = client.search_model_versions(f"name='{training.name}'")
    assert version.tags["treeline.version"] == parent.data.tags["treeline.version"]
    assert outbox.waiting() == []


def test_a_version_predicts_alike_by_our_store_by_mlflow_onnx_and_by_pyfunc(
    training: Training, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    treeline("track")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    uri = f"models:/{training.name}@challenger"
    folder = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "downloaded"))
    shutil.copytree(folder, tmp_path / "store" / training.name)
    model = ArtifactStore(tmp_path / "store").load(training.name)
    matrix = model.encoder.matrix([model.signature.example.record] * 2)
    expected = model.runtime.predict(matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow's, of type hints of its own
        found = mlflow.pyfunc.load_model(uri).predict(matrix)
    assert expected.labels is not None and expected.scores is not None
    assert found["label"].tolist() == expected.labels.tolist()
    assert found["scores"].tolist() == expected.scores.tolist()
    [graph] = (training.root / training.paths.artifact).glob("*.onnx")
    assert mlflow.onnx.load_model(uri).SerializeToString() != b""
    assert (Path(folder) / "artifact" / graph.name).read_bytes() == graph.read_bytes()


def test_a_version_is_challenger_until_main_holds_it_and_champion_from_then_on(
    training: Training,
    client: MlflowClient,
) -> None:
    training.git("checkout", "--quiet", "-b", "idea")
    training.commit()
    treeline("track")
    assert aliases(client, training.name) == {"challenger": 1}, "a branch is a proposal"
    training.git("checkout", "--quiet", "-b", "main")
    first = training.commit()
    treeline("track")
    assert aliases(client, training.name) == {"champion": 1}
    assert client.get_model_version(training.name, "1").tags["treeline.commit"] == first
    training.judge("floor: {roc_auc: 0.6}")
    treeline("track")
    assert aliases(client, training.name) == {"champion": 1, "challenger": 2}
    training.commit()
    treeline("track")
    assert aliases(client, training.name) == {"champion": 2}


def test_a_checkout_that_is_behind_does_not_take_the_name_from_the_champion(
    training: Training, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    training.commit()
    treeline("track")
    training.judge("floor: {roc_auc: 0.6}")
    training.commit()
    treeline("track")
    training.git("reset", "--quiet", "--hard", "HEAD~1")
    treeline("track")
    assert aliases(client, training.name) == {"champion": 2, "challenger": 1}
    assert "does not follow" in capsys.readouterr().out


def test_a_refused_training_is_recorded_and_registered_nowhere(
    training: Training, client: MlflowClient
) -> None:
    training.judge("ceiling: {roc_auc: 0.9}")
    training.commit()
    treeline("track")
    [run], _ = runs(client, training.name)
    assert run.data.tags["treeline.verdict"] == "refused"
    assert "too good to be true" in run.data.tags["mlflow.note.content"]
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(training.name)


def test_a_checkout_that_was_moved_goes_on_where_it_is(
    training: Training, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    treeline("track")
    moved = training.root.rename(tmp_path / "moved")
    monkeypatch.chdir(moved)
    treeline("track")
    client = MlflowClient(f"sqlite:///{moved}/.treeline/mlflow.db")
    [run], _ = runs(client, training.name)
    assert run.info.artifact_uri.startswith(f"{moved}/.treeline/mlruns/")
    assert client.list_artifacts(run.info.run_id)
    assert not training.root.exists()


def test_without_the_package_the_training_is_kept_and_the_extra_is_named(
    training: Training, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "treeline.trackers.mlflow", raising=False)
    (training.root / "params.yaml").write_text(
        "tracker: mlflow\n" + (training.root / "params.yaml").read_text()
    )
    treeline("track", "--if-chosen")
    told = capsys.readouterr().err
    assert "make setup-lab" in told and "not recorded yet: seedlings" in told
    with pytest.raises(TrackingError, match="needs the package 'mlflow'"):
        treeline("track")
    assert len(outbox.waiting()) == 1


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "postgresql+psycopg://writer:hunter2@127.0.0.1:9/mlflow"]
)
def test_a_store_that_is_away_is_told_of_in_one_line_and_changes_no_exit_code(
    training: Training,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    began = time.monotonic()
    treeline("track", "--if-chosen")
    assert time.monotonic() - began < 30
    told = capsys.readouterr().err
    assert "Connection refused" in told and "127.0.0.1:9" in told and "hunter2" not in told
    assert told.count("\n") == 1
    assert len(outbox.waiting()) == 1


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "postgres", "mysql"])
def test_a_store_whose_driver_is_not_installed_is_told_with_what_to_write(
    training: Training,
    scheme: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://writer:hunter2@127.0.0.1:9/mlflow")
    treeline("track", "--if-chosen")
    told = capsys.readouterr().err
    assert f"in the place of {scheme}:// and the rest stays" in told and "hunter2" not in told
    assert told.count("\n") == 1


def test_publishing_makes_the_champion_once_the_shared_repository_has_it(
    training: Training, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    training.git("init", "--quiet", "--bare", "--initial-branch", "main", str(tmp_path / "origin"))
    training.git("remote", "add", "origin", str(tmp_path / "origin"))
    training.run("dvc", "init", "--quiet")
    training.run("dvc", "remote", "add", "--default", "shared", str(tmp_path / "storage"))
    training.commit()
    training.git("push", "--quiet", "origin", "main")
    training.judge("floor: {roc_auc: 0.6}")
    treeline("track", "--if-chosen")
    assert aliases(client, training.name) == {"challenger": 1}
    published = publish(reason="")
    assert published.commit == training.git("rev-parse", "origin/main")
    assert aliases(client, training.name) == {"champion": 1}
    version = client.get_model_version(training.name, "1")
    assert version.tags["treeline.commit"] == published.commit


def test_nothing_happens_where_no_tracker_is_chosen(training: Training) -> None:
    tracking.follow()
    assert not (training.root / ".treeline").exists()
