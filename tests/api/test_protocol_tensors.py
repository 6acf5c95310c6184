"""The Open Inference Protocol for models without a signature: the tensors of their graphs."""

import json
import struct
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper
from starlette.testclient import TestClient

from api.app import create_app
from api.formats.v2 import HEADER_LENGTH
from api.settings import Settings
from tests.api.uploading import publish
from tests.recorded import HEADERS, KEY_LINE, lines
from tests.waiting import wait_until

INFER = "/v2/models/{}/infer"
NUMBERS = {
    "FP16": (TensorProto.FLOAT16, "<f2"),
    "FP32": (TensorProto.FLOAT, "<f4"),
    "FP64": (TensorProto.DOUBLE, "<f8"),
    "INT8": (TensorProto.INT8, "<i1"),
    "INT64": (TensorProto.INT64, "<i8"),
    "UINT8": (TensorProto.UINT8, "<u1"),
    "UINT64": (TensorProto.UINT64, "<u8"),
    "BOOL": (TensorProto.BOOL, "?"),
}
Sizes = list[int | str]


def graph(
    node: NodeProto, kind: int, inputs: dict[str, Sizes], outputs: dict[str, Sizes]
) -> ModelProto:
    """Return a model of one node, all of whose tensors have one type."""
    made = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, kind, size) for name, size in inputs.items()],
        [helper.make_tensor_value_info(name, kind, size) for name, size in outputs.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(made, opset_imports=opset, ir_version=8)


def same(kind: int) -> ModelProto:
    """Return a model that gives what it takes: two columns."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return graph(node, kind, {"x": ["n", 2]}, {"y": ["n", 2]})


def product() -> ModelProto:
    """Return a model that multiplies matrices, whose sizes must fit each other."""
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    return graph(node, TensorProto.FLOAT, {"a": ["i", "j"], "b": ["k", "l"]}, {"c": ["i", "l"]})


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with tensor models of several types, and with its log on."""
    state = tmp_path_factory.mktemp("state")
    graphs = {f"same-{name.lower()}": same(kind) for name, (kind, _) in NUMBERS.items()}
    graphs |= {"same-bytes": same(TensorProto.STRING), "product": product()}
    for name, model in graphs.items():
        publish(state, name, model)
    app = create_app(Settings(model_dir=models, state_dir=state, keys=KEY_LINE))
    with TestClient(app, headers=HEADERS) as client:
        yield client


def matrix(name: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "FP32", "data": [1.5] * int(np.prod(shape))}


def test_the_metadata_is_that_of_the_graph(client: TestClient) -> None:
    found = client.get("/v2/models/product").json()
    assert found["versions"] == [sha256(product().SerializeToString()).hexdigest()[:12]]
    assert found["inputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "b", "datatype": "FP32", "shape": [-1, -1]},
    ]
    assert client.get("/v2/models/product/ready").status_code == 200


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_datatype_goes_in_and_out_as_binary_data(client: TestClient, datatype: str) -> None:
    payload = np.array([0, 1, 1, 0], NUMBERS[datatype][1]).tobytes()
    tensor: dict[str, Any] = {"name": "x", "shape": [2, 2], "datatype": datatype}
    tensor |= {"parameters": {"binary_data_size": len(payload)}}
    body = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    document = json.dumps(body).encode()
    headers = {HEADER_LENGTH: str(len(document))}
    path = INFER.format(f"same-{datatype.lower()}")
    answer = client.post(path, content=document + payload, headers=headers)
    assert answer.status_code == 200, answer.text
    end = int(answer.headers[HEADER_LENGTH])
    (output,) = json.loads(answer.content[:end])["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", datatype, [2, 2])
    assert answer.content[end:] == payload


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP64", [0.5, -1, 1e300, None]),
        ("FP32", [0.5, -1, 2, 3]),
        ("INT8", [-128, 0, 1, 127]),
        ("UINT64", [0, 1, 2, 2**64 - 1]),
        ("BOOL", [True, False, False, True]),
        ("BYTES", ["", "a", "ü", "\x00"]),
    ],
)
def test_datatypes_go_in_and_out_as_json(
    client: TestClient, datatype: str, data: list[Any]
) -> None:
    known = [0.25 if each is None else each for each in data]
    tensor: dict[str, Any] = {"name": "x", "shape": [2, 2], "datatype": datatype, "data": known}
    answer = client.post(INFER.format(f"same-{datatype.lower()}"), json={"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == known


def test_what_json_has_no_number_for_is_null(client: TestClient) -> None:
    data = [1.0, float("nan"), float("inf"), 2.0]
    tensor: dict[str, Any] = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": data}
    answer = client.post(INFER.format("same-fp64"), content=json.dumps({"inputs": [tensor]}))
    assert answer.json()["outputs"][0]["data"] == [1.0, None, None, 2.0]


def test_several_inputs_are_told_apart_by_name(client: TestClient) -> None:
    inputs = [matrix("b", [2, 1]), matrix("a", [3, 2])]
    (output,) = client.post(INFER.format("product"), json={"inputs": inputs}).json()["outputs"]
    assert (output["shape"], output["data"]) == ([3, 1], [4.5] * 3)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([matrix("a", [2, 2])], "b: is missing; give FP32 of shape [-1, -1]"),
        ([matrix("a", [2, 2]), matrix("b", [3, 2])], "the model cannot compute"),
        ([matrix("a", [2, 2]), matrix("b", [2])], "b: has the shape [2]; give [-1, -1]"),
        ([matrix("a", [2, 2]), matrix("z", [2])], "z: is not an input of this model"),
        ([matrix("a", [2, 2]), matrix("b", [2, 2]) | {"datatype": "FP64"}], "b: is FP64; give"),
        ([matrix("a", [1, 1]), matrix("b", [1, 1]) | {"data": [None]}], "b: holds null"),
    ],
)
def test_what_does_not_fit_the_graph_is_refused(
    client: TestClient, inputs: list[Any], reason: str
) -> None:
    answer = client.post(INFER.format("product"), json={"inputs": inputs})
    assert answer.status_code == 422
    assert reason in answer.json()["error"]


def test_fp16_is_answered_as_binary_data_only(client: TestClient) -> None:
    payload = struct.pack("<2e", 1.5, 2.5)
    tensor: dict[str, Any] = {"name": "x", "shape": [1, 2], "datatype": "FP16"}
    tensor |= {"parameters": {"binary_data_size": len(payload)}}
    document = json.dumps({"inputs": [tensor]}).encode()
    headers = {HEADER_LENGTH: str(len(document))}
    answer = client.post(INFER.format("same-fp16"), content=document + payload, headers=headers)
    assert answer.status_code == 422
    assert "ask for binary data" in answer.json()["error"]


def test_a_run_is_recorded_under_the_id_that_is_answered(client: TestClient) -> None:
    inputs = [matrix("a", [1, 1]), matrix("b", [1, 1])]
    answer = client.post(INFER.format("product"), json={"inputs": inputs}).json()
    own = answer["parameters"]["prediction_id"]

    def recorded() -> list[str]:
        found = lines(client.get("/v1/predictions", params={"model": "product"}).text)
        return [row["id"] for row in found]

    wait_until(lambda: own in recorded(), seconds=15, what="the run is recorded")
