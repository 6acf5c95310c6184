"""The Open Inference Protocol: what it tells of a model, and what it answers to tensors."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.formats.tensors import DTYPES
from api.formats.v2 import HEADER_LENGTH, Datatype
from tests.api.conftest import Serve
from tests.tiny_models import DIABETES, IRIS, SURVIVAL, Recipe, write_model
from treeline.contract.features import Feature

RECIPES = (SURVIVAL, IRIS, DIABETES)
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}
Json = dict[str, Any]
Record = Mapping[str, Any]


def question(recipe: Recipe, records: Sequence[Record], **more: Any) -> Json:
    """Return the document that asks a model for records, each feature that occurs a tensor."""
    inputs = [
        {
            "name": name,
            "shape": [len(records)],
            "datatype": DATATYPES[feature.type],
            "data": [whole(feature, record.get(name)) for record in records],
        }
        for name, feature in recipe.features.items()
        if any(name in record for record in records)
    ]
    return {"inputs": inputs, **more}


def whole(feature: Feature, value: Any) -> Any:
    return int(value) if feature.type == "integer" and value is not None else value


def path(recipe: Recipe) -> str:
    return f"/v2/models/{recipe.name}/infer"


def asked(client: TestClient, recipe: Recipe, records: Sequence[Record], **more: Any) -> Json:
    """Ask for records, and return the outputs by name, each as an array in its shape."""
    answer = client.post(path(recipe), json=question(recipe, records, **more))
    assert answer.status_code == 200, answer.text
    outputs = answer.json()["outputs"]
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in outputs}


def alone(client: TestClient, recipe: Recipe, record: Record) -> Json:
    answer = client.post(f"/v1/models/{recipe.name}/predict", json=dict(record))
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Return what a feature admits, as JSON has it."""
    low, high = feature.minimum, feature.maximum
    if feature.type == "category":
        found: st.SearchStrategy[Any] = st.sampled_from(feature.categories)
    elif feature.type == "boolean":
        found = st.booleans()
    elif feature.type == "integer":
        found = st.integers(int(low or 0), int(high or 1000)).map(float)
    else:
        found = st.floats(-50 if low is None else low, 50 if high is None else high)
    return found | st.none() if feature.optional else found


def records_of(recipe: Recipe) -> st.SearchStrategy[list[Record]]:
    fields = {name: values_of(feature) for name, feature in recipe.features.items()}
    return st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=7)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_rows_are_answered_to_the_last_bit_as_each_is_alone(
    client: TestClient, recipe: Recipe
) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(records_of(recipe))
    def check(records: list[Record]) -> None:
        outputs = asked(client, recipe, records)
        for row, record in enumerate(records):
            single = alone(client, recipe, record)
            assert outputs[recipe.target.name][row] == single[recipe.target.name]
            if "probability" in single:
                assert outputs["probability"][row] == single["probability"]
            if "probabilities" in single:
                assert outputs["probabilities"][row].tolist() == [*single["probabilities"].values()]

    check()


def test_a_binary_model_gives_the_probability_of_both_classes(client: TestClient) -> None:
    outputs = asked(client, SURVIVAL, [SURVIVAL.example] * 3)
    assert outputs["probabilities"].shape == (3, 2)
    assert outputs["probabilities"][:, 1].tolist() == outputs["probability"].tolist()


def test_many_rows_are_answered_like_few(client: TestClient) -> None:
    records: list[Record] = [
        {"age": 0.01 * row, "bmi": None if row < 0 else row / 7} for row in range(5000)
    ]
    found = asked(client, DIABETES, records)
    few = asked(client, DIABETES, records[4097:4099])
    assert found["progression"][4097:4099].tolist() == few["progression"].tolist()
    assert len(set(found["id"].tolist())) == 5000


def test_the_metadata_is_the_signature(client: TestClient) -> None:
    found = client.get("/v2/models/tree-survival").json()
    version = client.get("/v1/models/tree-survival").json()["version"]
    inputs = {each["name"]: each for each in found["inputs"]}
    outputs = {each["name"]: each for each in found["outputs"]}
    assert found["versions"] == [version] and found["platform"] == "onnxruntime_onnx"
    assert {name: each["datatype"] for name, each in inputs.items()} == {
        name: DATATYPES[feature.type] for name, feature in SURVIVAL.features.items()
    }
    assert inputs["EMF"]["parameters"]["optional"] and inputs["EMF"]["shape"] == [-1]
    assert not inputs["Leaves"]["parameters"]["optional"]
    assert outputs["Event"]["datatype"] == "INT64"
    assert outputs["probabilities"]["shape"] == [-1, 2]
    assert outputs["probabilities"]["parameters"] == {"labels": [0, 1]}
    assert client.get(f"/v2/models/tree-survival/versions/{version}").json() == found


def test_the_server_tells_what_it_is_and_that_it_is_ready(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "treeline"
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/iris/ready").json() == {"name": "iris", "ready": True}


def test_a_version_that_is_not_served_is_not_found(client: TestClient) -> None:
    version = client.get("/v2/models/iris").json()["versions"][0]
    body = question(IRIS, [IRIS.example])
    assert client.get(f"/v2/models/iris/versions/{version}/ready").status_code == 200
    assert client.post(f"/v2/models/iris/versions/{version}/infer", json=body).status_code == 200
    for answer in (
        client.get("/v2/models/iris/versions/7/ready"),
        client.get("/v2/models/iris/versions/7"),
        client.post("/v2/models/iris/versions/7/infer", json=body),
    ):
        assert answer.status_code == 404
        assert version in answer.json()["error"]


def test_the_id_of_a_request_is_repeated_and_outputs_are_chosen(client: TestClient) -> None:
    body = question(IRIS, [IRIS.example], id="mine", outputs=[{"name": "species"}])
    answer = client.post(path(IRIS), json=body).json()
    assert (answer["id"], answer["model_name"]) == ("mine", "iris")
    (output,) = answer["outputs"]
    assert output == {"name": "species", "datatype": "BYTES", "shape": [1], "data": ["setosa"]}


def test_one_output_may_be_binary_and_another_not(client: TestClient) -> None:
    body = question(
        IRIS,
        [IRIS.example],
        parameters={"binary_data_output": True},
        outputs=[
            {"name": "species"},
            {"name": "probability", "parameters": {"binary_data": False}},
        ],
    )
    answer = client.post(path(IRIS), json=body)
    end = int(answer.headers[HEADER_LENGTH])
    assert answer.content[end:] == struct.pack("<I", 6) + b"setosa"
    assert b'"data":[' in answer.content[:end]


def test_optional_features_may_be_left_out_null_or_nan(client: TestClient) -> None:
    rows = [dict(SURVIVAL.example, EMF=None, Phenolics=None)] * 2
    left_out = [{k: v for k, v in row.items() if v is not None} for row in rows]
    expected = asked(client, SURVIVAL, [dict(SURVIVAL.example, EMF=0, Phenolics=None)] * 2)
    nan = question(SURVIVAL, rows)
    for each in nan["inputs"]:
        if each["name"] in {"EMF", "Phenolics"}:
            each["data"] = [float("nan")] * 2
    outputs = client.post(path(SURVIVAL), content=json.dumps(nan)).json()["outputs"]
    assert outputs[1]["data"] == expected["probability"].tolist()
    for records in (rows, left_out):
        found = asked(client, SURVIVAL, records)
        assert found["probability"].tolist() == expected["probability"].tolist()


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8", "UINT64"])
def test_numbers_come_in_any_datatype(client: TestClient, datatype: str, shape: list[int]) -> None:
    body = question(DIABETES, [{"age": 1, "bmi": 2}] * 2)
    for each in body["inputs"]:
        each |= {"datatype": datatype, "shape": shape}
    if shape == [2, 1]:
        body["inputs"][0]["data"] = [[1], [1]]
    answer = client.post(path(DIABETES), json=body)
    expected = alone(client, DIABETES, {"age": 1, "bmi": 2})["progression"]
    assert answer.json()["outputs"][0]["data"] == [expected] * 2


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", "<f2"), ("FP32", "<f4")])
def test_the_nearest_number_to_a_bound_is_within_it(
    tmp_path: Path, serve: Serve, datatype: str, dtype: str
) -> None:
    age, bmi = (Feature(type="number", minimum=-bound, maximum=bound) for bound in (0.1, 0.7))
    write_model(tmp_path, replace(DIABETES, features={"age": age, "bmi": bmi}))
    raw = np.array([0.1, -0.1, 0.7, -0.7], dtype).tobytes()
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": [2],
            "parameters": {"binary_data_size": len(raw) // 2},
        }
        for name in ("age", "bmi")
    ]
    document = json.dumps({"inputs": inputs}).encode()
    headers = {HEADER_LENGTH: str(len(document))}
    answer = serve(tmp_path).post(path(DIABETES), content=document + raw, headers=headers)
    assert answer.status_code == 200, answer.text


def test_all_problems_are_told_by_row_and_feature_in_the_words_of_the_one_route(
    client: TestClient,
) -> None:
    good, bad = SURVIVAL.example, dict(SURVIVAL.example, Species="Pinus", Light_ISF=2.5)
    answer = client.post(path(SURVIVAL), json=question(SURVIVAL, [good, bad]))
    single = client.post("/v1/predict", json=bad).json()["errors"]
    assert answer.status_code == 422
    words = [f"row 2: {each['field']}: {each['message']}" for each in single]
    assert answer.json()["error"] == "; ".join(words)


def test_the_datatypes_that_are_named_are_those_that_are_read() -> None:
    assert set(get_args(Datatype)) == set(DTYPES)
