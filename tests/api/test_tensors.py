"""A model without a signature takes values: any rank, any type, nothing rounded or overflowing."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from starlette.testclient import TestClient

from tests.api.uploading import publish, uploading
from tests.tiny_graphs import identity, model, product, scaled

KINDS = {
    "float16": [1.5, -2.0, 65504.0],
    "float32": [0.1, -2.0, 3e38],
    "float64": [0.1, 1e300, -0.25],
    "int8": [-128, 0, 127],
    "int16": [-32768, 0, 32767],
    "int32": [-(2**31), 0, 2**31 - 1],
    "int64": [-(2**63), 2**53 + 1, 2**63 - 1],
    "uint8": [0, 1, 255],
    "uint16": [0, 1, 65535],
    "uint32": [0, 1, 2**32 - 1],
    "uint64": [0, 2**53 + 1, 2**64 - 1],
    "bool": [True, False, True],
    "string": ["", "oak", "Größe \u2713"],
}
CASES = {f"{kind}-{rank}": (kind, rank) for kind in KINDS for rank in range(5)}


def element_type(kind: str) -> int:
    if kind == "string":
        return TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(np.dtype(kind))


def everything() -> Any:
    """A graph with an input of each type and rank, given back as it is."""
    declared = [(name, element_type(kind), [None] * rank) for name, (kind, rank) in CASES.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}'"]) for name in CASES]
    return model(nodes, declared, [(f"{name}'", kind, shape) for name, kind, shape in declared])


def classifier() -> Any:
    """A graph as scikit-learn's converters make them: labels, and a map of probabilities."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node(
            "ZipMap", ["x"], ["zipped"], domain="ai.onnx.ml", classlabels_strings=["a", "b"]
        ),
    ]
    found = model(
        nodes,
        [("x", TensorProto.FLOAT, [None, 2])],
        [("label", TensorProto.INT64, [None])],
    )
    row = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    found.graph.output.append(
        helper.make_value_info("zipped", helper.make_sequence_type_proto(row))
    )
    found.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return found


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with one uploaded model of each sort."""
    state = tmp_path_factory.mktemp("state")
    publish(state, "everything", everything())
    publish(state, "scaled", scaled(2, [None, 3]))
    publish(state, "whole", identity([None], TensorProto.INT8))
    publish(state, "flag", identity([], TensorProto.BOOL))
    publish(state, "words", identity([None, None], TensorProto.STRING))
    publish(state, "product", product())
    publish(state, "zipped", classifier())
    with uploading(models, state) as client:
        yield client


def asked(client: TestClient, name: str, values: object) -> Any:
    answer = client.post(f"/v1/models/{name}/predict", content=json.dumps({"values": values}))
    assert answer.status_code == 200, answer.text
    return answer.json()["values"]


def refused(client: TestClient, name: str, values: object) -> list[tuple[str, str]]:
    answer = client.post(f"/v1/models/{name}/predict", content=json.dumps({"values": values}))
    assert answer.status_code == 422, answer.text
    return [(error["field"], error["message"]) for error in answer.json()["errors"]]


def test_values_of_every_type_and_rank_pass_unchanged(client: TestClient) -> None:
    given: dict[str, Any] = {}
    for name, (kind, rank) in CASES.items():
        values: Any = KINDS[kind][-1] if rank == 0 else KINDS[kind]
        for _ in range(rank - 1):
            values = [values, values]
        given[name] = values
    found = asked(client, "everything", given)
    for name, (kind, _) in CASES.items():
        if kind == "float32":
            assert np.allclose(found[f"{name}'"], given[name]), name
        else:
            assert found[f"{name}'"] == given[name], name


def test_an_answer_says_who_gave_it(client: TestClient) -> None:
    answer = client.post("/v1/models/scaled/predict", json={"values": [[1, 2, 3]]}).json()
    card = client.get("/v1/models/scaled").json()
    assert list(answer) == ["values", "id", "model", "version"]
    assert (answer["model"], answer["version"]) == ("scaled", card["version"])
    assert answer["values"] == [[2, 4, 6]]


def test_a_single_input_may_be_named(client: TestClient) -> None:
    assert asked(client, "scaled", {"x": [[1, 2, 3]]}) == [[2, 4, 6]]


def test_null_is_nan_both_ways(client: TestClient) -> None:
    assert asked(client, "scaled", [[None, 2, 3e38]]) == [[None, 4, None]]
    assert math.isfinite(asked(client, "scaled", [[1, 2, 3]])[0][0])


def test_no_rows_are_no_rows(client: TestClient) -> None:
    assert asked(client, "scaled", []) == []


def test_a_whole_number_may_be_written_with_a_point(client: TestClient) -> None:
    assert asked(client, "whole", [3.0, -7]) == [3, -7]


def test_a_map_of_probabilities_becomes_an_array(client: TestClient) -> None:
    assert asked(client, "zipped", [[0.25, 0.75]]) == {"label": [1], "zipped": [[0.25, 0.75]]}


@pytest.mark.parametrize(
    ("name", "values", "place", "message"),
    [
        ("scaled", [[1, 2]], "values.0", "has length 2; give 3 along this axis"),
        ("scaled", [1, 2, 3], "values.0", "1 is a number; give x: float32 as nested lists of any"),
        ("scaled", [[[1]]], "values.0.0", "[1] is a list; give x: float32 as nested lists"),
        ("scaled", [[1, 2, "a"]], "values.0.2", '"a" is a text; give a number of at most 3.4'),
        ("scaled", [[1, 2, True]], "values.0.2", "true is a boolean; give a number"),
        ("scaled", [[1, 2, 1e39]], "values.0.2", "1e39 is not admitted; give a number of at most"),
        ("scaled", "text", "values", '"text" is a text; give x: float32 as nested lists of any'),
        ("scaled", {"z": []}, "values.x", "is missing; give x: float32"),
        ("whole", [300], "values.0", "300 is not admitted; give a whole number from -128 to 127"),
        ("whole", [2.5], "values.0", "2.5 is a number; give a whole number from -128 to 127"),
        ("whole", [None], "values.0", "null is null; give a whole number"),
        ("whole", [10**400], "values.0", "1000"),
        ("flag", 1, "values", "1 is a number; give true or false"),
        ("words", [["a"], ["b", "c"]], "values.1", "has length 2, and the first list beside it 1"),
        ("words", [["a", 3]], "values.0.1", "3 is a number; give a text"),
        ("product", [[1]], "values", "[[1]] is a list; give an object with one array for each of"),
        ("product", {"left": [[1]]}, "values.right", "is missing; give right: float32"),
        (
            "product",
            {"left": [[1, 2], [3]], "right": [[1]]},
            "values.left.1",
            "has length 1, and the first list beside it 2; give left: float32",
        ),
        (
            "product",
            {"left": [[1, 2]], "right": [[1]]},
            "values",
            "the model cannot compute left [1, 2], right [1, 1]: ",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    client: TestClient, name: str, values: object, place: str, message: str
) -> None:
    field, told = refused(client, name, values)[0]
    assert field == place
    assert told.replace("e+", "e").startswith(message)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(client: TestClient, token: str) -> None:
    answer = client.post("/v1/models/scaled/predict", content=f'{{"values": [[1, 2, {token}]]}}')
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "values.0.2"


def test_a_million_faults_do_not_make_a_long_answer(client: TestClient) -> None:
    answer = client.post("/v1/models/scaled/predict", json={"values": [["a"] * 3] * 10_000})
    assert answer.status_code == 422
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 422),
        (b'{"values": [], "more": 1}', "application/json", 422),
        (b"1,2", "text/csv", 415),
        (b"\xff\xd8\xff", "image/jpeg", 415),
    ],
)
def test_another_body_is_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    headers = {"Content-Type": kind}
    answer = client.post("/v1/models/scaled/predict", content=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_long_values_are_read_and_written_all_the_same(client: TestClient) -> None:
    rows = [[0.5, 1.25, -3.0]] * 30_000
    assert asked(client, "scaled", rows) == [[1.0, 2.5, -6.0]] * 30_000
    ((place, message),) = refused(client, "scaled", [*rows, [1, "a", 3]])
    assert place == "values.30000.1" and message.startswith('"a" is a text; give a number')
    answer = client.post("/v1/models/scaled/predict", content=b"[" * 600_000)
    assert answer.status_code == 400


def test_a_body_above_the_limit_is_refused(models: Path, tmp_path: Path) -> None:
    publish(tmp_path, "scaled", scaled(2))
    client = uploading(models, tmp_path, max_whole_bytes=100)
    answer = client.post("/v1/models/scaled/predict", json={"values": [1.0] * 100})
    assert answer.status_code == 413
    assert "API_MAX_WHOLE_BYTES" in answer.json()["detail"]


def test_the_card_tells_inputs_and_outputs(client: TestClient) -> None:
    card = client.get("/v1/models/product").json()
    assert (card["kind"], card["origin"], card["image"]) == ("tensor", "uploaded", None)
    assert card["outputs"] == [{"name": "both", "dtype": "float32", "shape": [None, None]}]
    assert card["size_bytes"] > 100


def test_values_are_described_as_they_are_answered(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/whole/predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    plain, named = content["schema"]["properties"]["values"]["anyOf"]
    assert plain["items"] == {"type": "integer", "minimum": -128, "maximum": 127}
    assert named["required"] == ["x"]
    pytest.importorskip("openapi_spec_validator").validate(document)


def test_its_page_leads_to_the_documentation(client: TestClient) -> None:
    assert "takes values, not records" in client.get("/?model=product").text


def test_it_has_no_batches(client: TestClient) -> None:
    answer = client.post("/v1/models/product/predict/batch", json=[])
    assert answer.status_code == 404
    assert "takes tensors, not records" in answer.json()["detail"]
