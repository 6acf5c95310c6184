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

KINDS: dict[str, Any] = {
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


def classifier(**classes: Any) -> Any:
    """A graph as scikit-learn's converters make them: labels, and a map of probabilities."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["x"], ["zipped"], domain="ai.onnx.ml", **classes),
    ]
    found = model(
        nodes,
        [("x", TensorProto.FLOAT, [None, 2])],
        [("label", TensorProto.INT64, [None])],
    )
    key = TensorProto.STRING if "classlabels_strings" in classes else TensorProto.INT64
    row = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
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
    publish(state, "texts", classifier(classlabels_strings=["b", "a"]))
    publish(state, "numbers", classifier(classlabels_int64s=[10, 9]))
    publish(state, "below-zero", classifier(classlabels_int64s=[-1, 1]))
    publish(state, "anything", unknown_rank())
    publish(state, "halves", halves())
    only = halves()
    del only.graph.output[0]
    publish(state, "parts-only", only)
    publish(state, "pictures", identity([None, 1, None, 2]))
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


ZIPPED = {
    "texts": (["b", "a"], [{"a": 0.75, "b": 0.25}]),
    "numbers": ([10, 9], [{"9": 0.75, "10": 0.25}]),
    "below-zero": ([-1, 1], [{"-1": 0.25, "1": 0.75}]),
}


@pytest.mark.parametrize("name", ZIPPED)
def test_a_map_of_probabilities_keeps_its_classes(client: TestClient, name: str) -> None:
    classes, wanted = ZIPPED[name]
    assert asked(client, name, [[0.25, 0.75]]) == {"label": [1], "zipped": wanted}
    assert asked(client, name, []) == {"label": [], "zipped": []}

    _, card = client.get(f"/v1/models/{name}").json()["outputs"]
    assert (card["classes"], card["shape"], card["dtype"]) == (classes, [None, 2], "float32")
    _, metadata = client.get(f"/v2/models/{name}").json()["outputs"]
    assert (metadata["parameters"], metadata["shape"]) == ({"labels": classes}, [-1, 2])

    given = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}
    answer = client.post(f"/v2/models/{name}/infer", json={"inputs": [given]}).json()
    assert answer["outputs"][1]["data"] == [0.25, 0.75]  # in the order of the classes


def unknown_rank() -> Any:
    """A graph as some exporters make them: nothing is said of the shapes."""
    return model(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        [("x", TensorProto.FLOAT, None)],
        [("y", TensorProto.FLOAT, None)],
    )


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (3, 9),
        ([], []),
        ([1, 2], [1, 4]),
        ([[1, 2], [3, None]], [[1, 4], [9, None]]),
        ([[[[2]]]], [[[[4]]]]),
        ({"x": [[3]]}, [[9]]),
        ({"x": 3}, 9),
    ],
)
def test_an_input_of_unknown_rank_takes_any(
    client: TestClient, values: object, wanted: object
) -> None:
    assert asked(client, "anything", values) == wanted


def test_an_unknown_rank_is_no_single_value(client: TestClient) -> None:
    card = client.get("/v1/models/anything").json()
    assert [each["shape"] for each in card["inputs"] + card["outputs"]] == [None, None]
    assert client.get("/v1/models/flag").json()["inputs"][0]["shape"] == []
    (metadata,) = client.get("/v2/models/anything").json()["inputs"]
    assert (metadata["shape"], metadata["parameters"]) == ([-1], {"any_rank": True})
    for shape in ([2], [2, 1], [1, 1, 2]):
        given = {"name": "x", "shape": shape, "datatype": "FP32", "data": [2.0, 3.0]}
        answer = client.post("/v2/models/anything/infer", json={"inputs": [given]})
        assert answer.json()["outputs"][0] | {"name": "y"} == {
            **{"name": "y", "shape": shape, "datatype": "FP32", "data": [4.0, 9.0]}
        }


def halves() -> Any:
    """A graph that gives a sequence: as many tensors as there are columns."""
    found = model(
        [
            helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1, keepdims=1),
            helper.make_node("Neg", ["x"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["n", None])],
        [("y", TensorProto.FLOAT, ["n", None])],
    )
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    found.graph.output.append(
        helper.make_value_info("parts", helper.make_sequence_type_proto(kind))
    )
    return found


def test_a_sequence_is_a_list_of_arrays(client: TestClient) -> None:
    assert asked(client, "halves", [[1, 2, 3], [4, 5, 6]]) == {
        "y": [[-1, -2, -3], [-4, -5, -6]],
        "parts": [[[1], [4]], [[2], [5]], [[3], [6]]],
    }
    _, parts = client.get("/v1/models/halves").json()["outputs"]
    assert (parts["name"], parts["dtype"], parts["sequence"]) == ("parts", "float32", True)


def test_a_sequence_is_no_tensor_of_the_protocol(client: TestClient) -> None:
    metadata = client.get("/v2/models/halves").json()
    assert [each["name"] for each in metadata["outputs"]] == ["y"]
    given = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}
    answer = client.post("/v2/models/halves/infer", json={"inputs": [given]})
    assert [each["name"] for each in answer.json()["outputs"]] == ["y"]
    for name, more in (("halves", {"outputs": [{"name": "parts"}]}), ("parts-only", {})):
        answer = client.post(f"/v2/models/{name}/infer", json={"inputs": [given], **more})
        assert answer.status_code == 422, answer.text
        assert f"parts is a sequence, which no tensor is; POST to /v1/models/{name}/predict" in (
            answer.json()["error"].replace(": is", " is")
        )


@pytest.mark.parametrize(
    ("name", "row", "wanted"),
    [
        ("scaled", [1, 2, 3], [[2, 4, 6]]),
        ("scaled", [1, None, 3], [[2, None, 6]]),
        ("words", ["a", "b"], [["a", "b"]]),
        ("pictures", [[[1, 2]]], [[[[1, 2]]]]),
        ("texts", [0.25, 0.75], {"label": [1], "zipped": [{"a": 0.75, "b": 0.25}]}),
    ],
)
def test_one_row_is_taken_as_such(
    client: TestClient, name: str, row: object, wanted: object
) -> None:
    assert asked(client, name, row) == asked(client, name, [row]) == wanted


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("name", "values", "place", "message"),
    [
        ("scaled", [[1, 2]], "values.0", "has length 2; give 3 along this axis"),
        ("scaled", [1, 2], "values", "has length 2; give 3 along this axis of x: float32"),
        ("scaled", [1, 2, "a"], "values.2", '"a" is a text; give a number of at most 3.4'),
        ("scaled", [1, [2], 3], "values.1", "[2] is a list; give x: float32 as nested lists"),
        ("scaled", {"x": [1, 2, 3]}, "values.x.0", "1 is a number; give x: float32 as nested"),
        ("pictures", [[[1, 2], [3]]], "values.0.1", "has length 1; give 2 along this axis"),
        ("product", {"left": [1], "right": [[1]]}, "values.left.0", "1 is a number; give left"),
        ("anything", [[1], [2, 3]], "values.1", "has length 2, and the first list beside it 1"),
        ("anything", [[1], 2], "values.1", "2 is a number; give x: float32 as nested lists of"),
        ("anything", "a", "values", '"a" is a text; give a number of at most 3.4'),
        ("anything", {"y": 1}, "values.x", "is missing; give x: float32"),
        ("anything", nested(33), "values", "is nested 33 deep; give x: float32 as nested lists"),
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
    assert card["outputs"] == [
        {
            **{"name": "both", "dtype": "float32", "shape": [None, None]},
            **{"classes": None, "sequence": False},
        }
    ]
    assert card["size_bytes"] > 100


def test_values_are_described_as_they_are_answered(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/whole/predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    plain, named = content["schema"]["properties"]["values"]["anyOf"]
    assert plain["items"] == {"type": "integer", "minimum": -128, "maximum": 127}
    assert named["required"] == ["x"]
    choices = described(document, "scaled")["anyOf"]
    assert [each.get("minItems") for each in choices] == [None, 3, None]  # rows, one row, by name
    assert described(document, "anything")["anyOf"][0]["anyOf"][1] == {"type": "array", "items": {}}
    pytest.importorskip("openapi_spec_validator").validate(document)


def described(document: Any, name: str) -> Any:
    operation = document["paths"][f"/v1/models/{name}/predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    return content["schema"]["properties"]["values"]


def test_its_page_leads_to_the_documentation(client: TestClient) -> None:
    assert "takes values, not records" in client.get("/?model=product").text


def test_it_has_no_batches(client: TestClient) -> None:
    answer = client.post("/v1/models/product/predict/batch", json=[])
    assert answer.status_code == 404
    assert "takes tensors, not records" in answer.json()["detail"]
