"""What is not to be recorded never reaches the disk, however it is written in a request."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.prediction_log.writing import Redaction
from api.settings import Settings
from tests.api.uploading import publish
from tests.recorded import rows_in
from tests.tiny_graphs import identity, product
from tests.tiny_models import DIABETES, SURVIVAL

SECRET = "Prunus serotina"
ANSWER = b'{"Event":1.0,"model":"tree-survival"}'


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [
        (b'{"Soil":"Mud","Light":1}', {"Soil": None, "Light": 1}),
        (b'{"S\\u006fil":"Mud"}', {"Soil": None}),
        (b'{"\\u0053\\u006f\\u0069\\u006c":"Mud"}', {"Soil": None}),
        (b'{"Soil":"Mud","Soil":"Clay"}', {"Soil": None}),
        (b'{"Soil":"Mud","S\\u006fil":null}', {"Soil": None}),
        (b'{"values":{"Soil":["Mud"],"Light":[1]}}', {"values": {"Soil": None, "Light": [1]}}),
        (b'{"deep":[{"deeper":{"Soil":"Mud"}}]}', {"deep": [{"deeper": {"Soil": None}}]}),
        (
            b'{"inputs":[{"name":"S\\u006fil","shape":[1],"datatype":"BYTES","data":["Mud"]}]}',
            {"inputs": [{"name": "Soil", "shape": [1], "datatype": "BYTES", "data": None}]},
        ),
        (b'[{"Soil":"Mud"},{"Soil":"Clay"}]', [{"Soil": None}, {"Soil": None}]),
        (b'"Mud"', "Mud"),
        (b"\xff Mud", None),
        (b'{"Soil":"Mud"', None),
    ],
)
def test_a_name_is_known_however_it_is_written(asked: bytes, recorded: object) -> None:
    for entry in ("Soil", "tree-survival.Soil"):
        redaction = Redaction([entry])
        assert redaction.active
        assert json.loads(redaction.applied(asked, ANSWER)) == recorded


def test_a_name_of_another_model_is_recorded() -> None:
    asked = b'{"Soil":"Mud"}'
    assert Redaction(["iris.Soil"]).applied(asked, ANSWER) == asked
    assert not Redaction([]).active


def with_escapes(record: Mapping[str, Any], name: str) -> bytes:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    return json.dumps(record).replace(f'"{name}"', f'"{escaped}"').encode()


def twice(record: Mapping[str, Any], name: str) -> bytes:
    return json.dumps(record).replace("{", f'{{"{name}": "{SECRET}", ', 1).encode()


def infer(record: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {str: "BYTES", float: "FP32", int: "INT64", bool: "BOOL"}
    inputs = [
        {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for name, value in record.items()
    ]
    return {"inputs": inputs}


BY_DOOR: dict[str, Callable[[TestClient], object]] = {
    "escaped": lambda client: client.post(
        "/v1/predict", content=with_escapes(SURVIVAL.example, "Species")
    ),
    "twice": lambda client: client.post("/v1/predict", content=twice(SURVIVAL.example, "Species")),
    "a batch of JSON": lambda client: client.post(
        "/v1/predict/batch", content=b"[" + with_escapes(SURVIVAL.example, "Species") + b"]"
    ),
    "lines of JSON": lambda client: client.post(
        "/v1/predict/batch",
        content=with_escapes(SURVIVAL.example, "Species"),
        headers={"Content-Type": "application/x-ndjson"},
    ),
    "columns of JSON": lambda client: client.post(
        "/v1/predict/batch",
        content=with_escapes({key: [value] for key, value in SURVIVAL.example.items()}, "Species"),
    ),
    "tensors": lambda client: client.post(
        "/v2/models/tree-survival/infer", json=infer(SURVIVAL.example)
    ),
}


@pytest.mark.parametrize("door", BY_DOOR)
def test_a_redacted_feature_reaches_no_file_through_any_door(
    models: Path, tmp_path: Path, door: str
) -> None:
    assert SURVIVAL.example["Species"] == SECRET
    settings = Settings(model_dir=models, state_dir=tmp_path, prediction_log_redact="Species")
    with TestClient(create_app(settings), headers={"Content-Type": "application/json"}) as client:
        answer: Any = BY_DOOR[door](client)
        assert answer.status_code == 200, answer.text
    (row,) = rows_in(tmp_path / "predictions.sqlite")
    assert json.loads(row["features"])["Species"] is None
    assert json.loads(row["features"])["Light_ISF"] == SURVIVAL.example["Light_ISF"]
    assert SECRET not in every_byte(tmp_path)


MARK = 8675309.0


def binary(client: TestClient) -> object:
    data = np.array([MARK], "<f4").tobytes()
    parameters = {"binary_data_size": len(data)}
    described = {"name": "x", "shape": [1], "datatype": "FP32", "parameters": parameters}
    document = json.dumps({"inputs": [described]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(document))}
    return client.post("/v2/models/one/infer", content=document + data, headers=headers)


BY_TENSOR: dict[str, Callable[[TestClient], object]] = {
    "without a name": lambda client: client.post("/v1/models/one/predict", json={"values": [MARK]}),
    "by its name": lambda client: client.post(
        "/v1/models/one/predict", json={"values": {"x": [MARK]}}
    ),
    "as a tensor": lambda client: client.post(
        "/v2/models/one/infer",
        json={"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [MARK]}]},
    ),
    "in binary": binary,
}


@pytest.mark.parametrize("door", BY_TENSOR)
def test_an_input_of_a_tensor_model_is_redacted_as_a_feature_is(
    models: Path, tmp_path: Path, door: str
) -> None:
    publish(tmp_path, "one", identity((None,)))
    settings = Settings(model_dir=models, state_dir=tmp_path, prediction_log_redact="one.x")
    with TestClient(create_app(settings)) as client:
        answer: Any = BY_TENSOR[door](client)
        assert answer.status_code == 200, answer.text
    (row,) = rows_in(tmp_path / "predictions.sqlite")
    assert str(int(MARK)) not in row["features"] and "sha256" not in row["features"]


def test_the_other_inputs_of_a_tensor_model_are_recorded(models: Path, tmp_path: Path) -> None:
    publish(tmp_path, "two", product())
    settings = Settings(model_dir=models, state_dir=tmp_path, prediction_log_redact="left")
    with TestClient(create_app(settings)) as client:
        asked = {"values": {"left": [[2.0]], "right": [[3.0]]}}
        answer = client.post("/v1/models/two/predict", json=asked)
        assert answer.status_code == 200, answer.text
    (row,) = rows_in(tmp_path / "predictions.sqlite")
    assert json.loads(row["features"]) == {"values": {"left": None, "right": [[3.0]]}}


def test_without_redaction_a_record_is_kept_byte_for_byte(models: Path, tmp_path: Path) -> None:
    settings = Settings(model_dir=models, state_dir=tmp_path)
    body = b'{"age":  0.5, "b\\u006di":1e0}'
    with TestClient(create_app(settings)) as client:
        client.post(f"/v1/models/{DIABETES.name}/predict", content=body)
    (row,) = rows_in(tmp_path / "predictions.sqlite")
    assert json.loads(row["features"]) == {"age": 0.5, "bmi": 1.0}


def every_byte(folder: Path) -> str:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode(
        "latin-1"
    )
