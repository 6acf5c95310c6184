"""The public client of the Open Inference Protocol, unchanged, against the service as it runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import calling
from tests.recorded import HEADERS, KEY_LINE
from tests.serving import Service, serving
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, write_model
from tests.waiting import wait_until
from treeline.contract.features import Feature

triton = pytest.importorskip("tritonclient.http")
utils = pytest.importorskip("tritonclient.utils")

DTYPES = {"number": "f8", "integer": "i8", "boolean": "?", "category": "O"}
Client = Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three models, which a test may change."""
    root = tmp_path_factory.mktemp("protocol")
    for recipe in (SURVIVAL, IRIS, DIABETES):
        write_model(root / "model", recipe)
    return root


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    """Two worker processes over those models, which know one key."""
    settings = {"WEB_CONCURRENCY": "2", "API_KEYS": KEY_LINE, "API_WATCH_SECONDS": "0.1"}
    with serving(folder / "model", folder / "log", **settings) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        yield client


def inputs_of(features: dict[str, Feature], record: Any, rows: int, *, binary: bool) -> list[Any]:
    """Return the same record several times, as the client's own inputs."""
    found = []
    for name, feature in features.items():
        array = np.array([record[name]] * rows, DTYPES[feature.type])
        each = triton.InferInput(name, [rows], utils.np_to_triton_dtype(array.dtype))
        found.append(each.set_data_from_numpy(array, binary_data=binary))
    return found


def test_it_is_alive_and_ready_and_tells_of_its_models(client: Client) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("iris") and not client.is_model_ready("oak")
    metadata = client.get_model_metadata("iris")
    assert client.get_server_metadata()["name"] == "treeline"
    assert client.is_model_ready("iris", metadata["versions"][0])
    assert [each["name"] for each in metadata["inputs"]] == list(IRIS.features)


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_predictions_are_those_of_the_single_route(
    service: Service, client: Client, binary: bool, compression: str | None
) -> None:
    single = calling.post(f"{service.url}/v1/predict", json=SURVIVAL.example).json()
    result = client.infer(
        "tree-survival",
        inputs_of(SURVIVAL.features, SURVIVAL.example, 3, binary=binary),
        outputs=[
            triton.InferRequestedOutput("Event", binary_data=binary),
            triton.InferRequestedOutput("probability", binary_data=not binary),
            triton.InferRequestedOutput("probabilities", binary_data=binary),
        ],
        request_id="mine",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.get_response()["id"] == "mine"
    assert result.as_numpy("Event").tolist() == [single["Event"]] * 3
    assert result.as_numpy("probability").tolist() == [single["probability"]] * 3
    assert result.as_numpy("probabilities")[:, 1].tolist() == [single["probability"]] * 3
    assert result.as_numpy("id") is None


def test_classes_that_are_texts_come_back_as_bytes(client: Client) -> None:
    inputs = inputs_of(IRIS.features, IRIS.example, 2, binary=True)
    result = client.infer("iris", inputs)  # without outputs it asks for all, in binary
    assert result.as_numpy("species").tolist() == [b"setosa"] * 2
    assert result.as_numpy("probabilities").shape == (2, 3)
    assert len(set(result.as_numpy("id").tolist())) == 2


def test_a_large_request_is_answered(client: Client) -> None:
    rows = np.linspace(0, 1, 20_000)
    inputs = [
        triton.InferInput(name, [len(rows), 1], "FP64").set_data_from_numpy(rows[:, None])
        for name in DIABETES.features
    ]
    values = client.infer("diabetes", inputs).as_numpy("progression")
    assert values.shape == rows.shape and (np.diff(values) > 0).all()


def test_a_refusal_is_an_exception_that_says_what_is_wrong(client: Client) -> None:
    inputs = inputs_of(
        IRIS.features, dict(IRIS.example, **{"petal width (cm)": 99}), 1, binary=True
    )
    with pytest.raises(
        utils.InferenceServerException, match=r"row 1: petal width \(cm\): 99\.0 is not"
    ):
        client.infer("iris", inputs)
    with pytest.raises(utils.InferenceServerException, match="There is no model 'oak'"):
        client.infer("oak", inputs)


def states(service: Service) -> dict[str, str]:
    """Return the states of the models as one of the workers tells them: each time a new one."""
    found = calling.post(f"{service.url}/v2/repository/index", headers={"Connection": "close"})
    return {each["name"]: each["state"] for each in found.json()}


def agreed(service: Service, **expected: str) -> None:
    """Wait until all workers say the same of a model."""

    def all_say() -> bool:
        told = [states(service) for _ in range(20)]
        return all(expected.items() <= each.items() for each in told)

    wait_until(all_say, seconds=15, what=f"all workers say {expected}")


def test_a_model_is_unloaded_and_loaded_in_all_workers(service: Service, client: Client) -> None:
    client.unload_model("iris", headers=HEADERS)
    agreed(service, iris="UNAVAILABLE", diabetes="READY")
    assert not client.is_model_ready("iris") and client.is_server_ready()
    assert calling.get(f"{service.url}/readyz").json()["unloaded"] == ["iris"]
    answer = calling.post(f"{service.url}/v1/models/iris/predict", json=IRIS.example)
    assert answer.status_code == 503
    assert "load it: POST /v2/repository/models/iris/load" in answer.json()["detail"]
    listed = {each["name"]: each["state"] for each in client.get_model_repository_index()}
    assert listed["iris"] == "UNAVAILABLE"
    client.load_model("iris", headers=HEADERS)
    agreed(service, iris="READY")
    assert calling.get(f"{service.url}/readyz").json()["unloaded"] == []
    assert client.infer("iris", inputs_of(IRIS.features, IRIS.example, 1, binary=False))


def test_loading_needs_a_key_and_a_model_and_nothing_of_its_own(client: Client) -> None:
    with pytest.raises(utils.InferenceServerException, match="takes an API key"):
        client.load_model("iris")
    with pytest.raises(utils.InferenceServerException, match="There is no model 'oak'"):
        client.unload_model("oak", headers=HEADERS)
    with pytest.raises(utils.InferenceServerException, match="upload with PUT /v1/models/iris"):
        client.load_model("iris", headers=HEADERS, config="{}")


def test_loading_brings_a_model_up_to_date(client: Client, folder: Path) -> None:
    before = client.get_model_metadata("diabetes")["versions"]
    write_model(folder / "model", replace(DIABETES, weights={"bmi": 1.0}))
    client.load_model("diabetes", headers=HEADERS)
    wait_until(
        lambda: client.get_model_metadata("diabetes")["versions"] != before,
        seconds=15,
        what="the other version is served",
    )
