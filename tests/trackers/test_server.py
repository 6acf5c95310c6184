"""MLflow's own server, on PostgreSQL with its files in S3: recording, a death in the middle, loads.

The recording is a command of its own, as after a training, and the server dies while it runs.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs mlflow: make setup-dev")
pytest.importorskip("moto", reason="needs moto, a stand-in for S3: make setup-dev")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.objects import ACCESS, s3, store_of_objects
from tests.recorded import postgresql
from tests.trackers.servers import Server, mlflow_server
from tests.trackers.training import Training
from tests.waiting import wait_until
from treeline.artifact.store import ArtifactStore

BUCKET = "experiments"
RUNS = 29  # of a training: itself, 27 trials, and the baseline's one
SOON_SECONDS = 60  # three tries of MLflow's client, on a machine that may be busy


@pytest.fixture(scope="module")
def objects() -> Iterator[str]:
    """Give the address of an S3 store with one empty bucket."""
    with store_of_objects(BUCKET) as url:
        yield url


@pytest.fixture(scope="module")
def server(objects: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server of which clients need to know nothing but its address."""
    with postgresql() as name:
        options = (
            f"--backend-store-uri=postgresql://postgres@127.0.0.1:5432/{name}",
            f"--artifacts-destination=s3://{BUCKET}/mlflow",
        )
        log = tmp_path_factory.mktemp("server") / "log"
        with mlflow_server(log, *options, **ACCESS, MLFLOW_S3_ENDPOINT_URL=objects) as made:
            yield made


@pytest.fixture(autouse=True)
def named(server: Server, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)


def recording() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "treeline", "track", "--if-chosen"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def recorded(client: MlflowClient, name: str) -> list[Run]:
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def test_a_server_that_dies_in_the_middle_has_everything_once_after_the_next_call(
    training: Training, server: Server, objects: str
) -> None:
    client = MlflowClient(server.url)
    with recording() as command:
        wait_until(
            lambda: len(recorded(client, training.name)) >= 5,
            seconds=240,  # most of it MLflow being imported
            what="some trials are recorded",
        )
        server.kill()
        died = time.monotonic()
        told, complaint = command.communicate()
    assert time.monotonic() - died < SOON_SECONDS, "a server that is away holds nobody up"
    assert command.returncode == 0, "the training is not the worse for it"
    assert told == "" and complaint.count("\n") == 1
    assert complaint.startswith(f"track: {server.url}: ")
    assert "not recorded yet: seedlings" in complaint
    server.start()
    assert 5 <= len(recorded(client, training.name)) < RUNS

    training.judge("floor: {roc_auc: 0.6}")  # the files in model/ are of another training now
    with recording() as command:
        told, complaint = command.communicate()
    assert (told.count("\n"), complaint) == (2, "")
    runs = recorded(client, training.name)
    assert len(runs) == 2 * RUNS, "nothing is lost and nothing is there twice"
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "folds/roc_auc")
        assert sorted(fold.step for fold in history) == [1, 2, 3]
    stored = s3(objects).list_objects_v2(Bucket=BUCKET)["Contents"]
    assert sum(entry["Key"].endswith("/model/artifact/model.onnx") for entry in stored) == 2


def test_the_champion_of_a_server_is_a_model_of_our_store(
    training: Training, server: Server, tmp_path: Path
) -> None:
    training.commit()
    with recording() as command:
        told, _ = command.communicate()
    assert ", champion" in told
    folder = tmp_path / "store" / training.name
    folder.mkdir(parents=True)
    mlflow.artifacts.download_artifacts(f"models:/{training.name}@champion", dst_path=str(folder))
    assert ArtifactStore(folder.parent).load(training.name).signature.name == training.name
