"""A model of H2O from its declaration to the answer of the service."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests import calling
from tests.h2o_models import RECORD, jvms, need_java, run_stages
from tests.serving import Service, serving
from tests.waiting import wait_until
from treeline.contract.signature import Signature
from treeline.stages.running import run

pytest.importorskip("h2o", reason="needs h2o: make setup-engines")

from treeline.artifact.h2o import FOLDER, shared

START_SECONDS = 120


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The model folder of a repository in which AutoML has won."""
    need_java()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        yield run_stages(Path.cwd())
    shared().stop()


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER, raising=False)  # it is to have a JVM of its own
        patch.setattr("tests.serving.START_SECONDS", START_SECONDS)
        log = tmp_path_factory.mktemp("service") / "log"
        with serving(models, log, API_ALLOW_H2O="1", H2O_MEMORY="256m") as service:
            yield service


def predicted(service: Service) -> httpx2.Response:
    return calling.post(f"{service.url}/v1/predict", json=RECORD, timeout=START_SECONDS)


def test_the_signature_says_what_was_chosen_and_why_it_is_no_graph(models: Path) -> None:
    signature = Signature.read(models / "seedlings" / "signature.json")
    assert signature.runtime == "h2o"
    assert set(signature.files) == {"artifact/model.h2o", "artifact/model.json"}
    assert signature.lineage.estimator.startswith("h2o.automl.H2OAutoML:")
    assert signature.parity.largest_difference == 0
    assert "served by the h2o runtime" in signature.parity.note
    table = (models / "seedlings" / "candidates.csv").read_text()
    assert {line.split(",")[0] for line in table.splitlines()[1:]} == {
        "automl",
        "baseline",
        "guess",
    }


def test_where_a_graph_is_required_the_gate_refuses_it_in_words(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent)
    declared = Path("params.yaml").read_text()
    kept = {path: path.read_bytes() for path in (models / "seedlings").glob("*.json")}
    Path("params.yaml").write_text(declared.rstrip("\n") + "\n    export: required\n")
    try:
        run(["evaluate", "seedlings"])
        with pytest.raises(SystemExit, match="`export: required` asks for an ONNX graph"):
            run(["gate", "seedlings"])
    finally:
        Path("params.yaml").write_text(declared)
        for path, body in kept.items():
            path.write_bytes(body)


def test_it_is_served_only_where_that_was_asked_for(models: Path) -> None:
    client = TestClient(create_app(Settings(model_dir=models, prediction_log=False)))
    told = client.get("/readyz")
    assert told.status_code == 503
    assert "set API_ALLOW_H2O=1 for the service" in told.text


def test_records_and_batches_are_answered_by_one_jvm(service: Service) -> None:
    answer = predicted(service)
    assert answer.status_code == 200, answer.text
    assert answer.json()["Event"] == 1
    lines = "Species,Light,EMF\nQuercus,0.2,\nAcer,0.9,3\n"
    batch = calling.post(
        f"{service.url}/v1/predict/batch",
        content=lines,
        headers={"Content-Type": "text/csv", "Accept": "application/json"},
        timeout=START_SECONDS,
    )
    assert batch.status_code == 200, batch.text
    one, other = batch.json()
    assert one["probability"] == answer.json()["probability"] > other["probability"]
    assert len(jvms(service.process.pid)) == 1


def test_a_jvm_that_dies_is_replaced_while_the_request_waits(service: Service) -> None:
    expected = predicted(service).json()["probability"]
    (jvm,) = jvms(service.process.pid)
    os.kill(jvm, signal.SIGKILL)
    answer = predicted(service)
    assert answer.status_code == 200, answer.text
    assert answer.json()["probability"] == expected
    assert calling.get(f"{service.url}/readyz").status_code == 200


def test_the_jvm_ends_with_the_service(service: Service) -> None:
    (jvm,) = jvms(service.process.pid)
    assert service.stop() == 0
    wait_until(lambda: not Path(f"/proc/{jvm}").exists(), seconds=10, what="the JVM has ended")
