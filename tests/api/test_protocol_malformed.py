"""Whatever is wrong with a request of the protocol is told as `{"error": …}`; nothing fails."""

import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.formats.v2 import HEADER_LENGTH
from tests.api.conftest import Serve
from tests.tiny_models import SURVIVAL

INFER = "/v2/models/diabetes/infer"
AGE = {"name": "age", "shape": [2], "datatype": "FP64", "data": [1, 2]}
BMI = {"name": "bmi", "shape": [2], "datatype": "FP64", "data": [3, 4]}
Json = dict[str, Any]


def told(client: TestClient, status: int, content: bytes, path: str = INFER, **headers: str) -> str:
    """Post a body that is refused, and return why."""
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    error: str = answer.json()["error"]
    return error


def changed(**changes: Any) -> bytes:
    """Return a request whose first input is changed; None takes a key away."""
    first = {key: value for key, value in {**AGE, **changes}.items() if value is not None}
    return json.dumps({"inputs": [first, BMI]}).encode()


def raw(payload: bytes, *, size: Any = None, **changes: Any) -> tuple[bytes, str]:
    """Return a request whose first input is binary, and the length of its document."""
    parameters = {"binary_data_size": len(payload) if size is None else size}
    document = changed(data=None, parameters=parameters, **changes)
    return document + payload, str(len(document))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": [3]}, "age: has 2 values, and its shape [3] wants 3"),
        ({"shape": [10**12]}, "wants 1000000000000"),
        ({"shape": [10**18] * 30}, "wants 1000"),
        ({"shape": [10**30]}, "inputs.0.shape.0"),
        ({"shape": [0], "data": []}, "leaves it without any value"),
        ({"shape": [0, 10**12], "data": []}, "leaves it without any value"),
        ({"shape": [1] * 100, "data": [1]}, "100 dimensions"),
        ({"shape": [-2]}, "inputs.0.shape.0"),
        ({"shape": [2.5]}, "inputs.0.shape.0"),
        ({"shape": [], "data": [1]}, "give one value for each row"),
        ({"shape": [1, 2]}, "give one value for each row: shape [n] or [n, 1]"),
        ({"shape": [3], "data": [1, 2, 3]}, "differ in their number of rows: age 3, bmi 2"),
        ({"shape": [2, 1], "data": [[1], [2, 3]]}, "nested lists"),
        ({"data": [[1], [2]]}, "not FP64"),
        ({"data": [1, [2]]}, "not FP64"),
        ({"data": [1, "2"]}, "not FP64"),
        ({"data": [1, True]}, "not FP64"),
        ({"data": [1, {}]}, "not FP64"),
        ({"data": [1, None]}, "row 2: age: is missing; give a number"),
        ({"data": [1, float("inf")]}, "row 2: age: Infinity is not admitted"),
        ({"data": [1, 10**400]}, "does not fit FP64"),
        ({"data": "12"}, "inputs.0.data"),
        ({"data": None}, "needs either `data` or"),
        ({"parameters": {"binary_data_size": 16}}, "needs either `data` or"),
        ({"parameters": {"binary_data_size": -1}, "data": None}, "binary_data_size"),
        ({"parameters": {"shared_memory_region": "x"}, "data": None}, "needs either `data` or"),
        ({"datatype": "FP32", "data": [1, 1e300]}, "does not fit FP32"),
        ({"datatype": "INT8", "data": [1, 300]}, "does not fit INT8"),
        ({"datatype": "UINT64", "data": [1, -1]}, "does not fit UINT64"),
        ({"datatype": "INT64", "data": [1, 2.5]}, "not INT64"),
        ({"datatype": "BYTES", "data": ["a", "b"]}, "age: is BYTES; give a number, as FP64"),
        ({"datatype": "FP16"}, "FP16 cannot be told in JSON"),
        ({"datatype": "FP8"}, "inputs.0.datatype"),
        ({"datatype": None}, "inputs.0.datatype"),
        ({"name": "weight"}, "weight: is not a feature of this model; its features are: age, bmi"),
        ({"name": "bmi"}, "bmi: is sent twice"),
    ],
)
def test_an_input_that_is_not_what_it_says_is_refused(
    client: TestClient, changes: Json, reason: str
) -> None:
    assert reason in told(client, 422, changed(**changes))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "inputs"),
        ([], "body"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [BMI]}, "age: is missing; give a number"),
        ({"inputs": [AGE, BMI], "id": 3}, "id"),
        ({"inputs": [AGE, BMI], "outputs": [{"name": "x"}]}, "x: is not an output of this model"),
        ({"inputs": [AGE, BMI], "outputs": [{"name": "id"}] * 2}, "id: is asked for twice"),
        (
            {
                "inputs": [AGE, BMI],
                "outputs": [{"name": "id", "parameters": {"classification": 2}}],
            },
            "outputs.0.parameters.classification",
        ),
    ],
)
def test_a_document_that_lacks_something_is_refused(
    client: TestClient, document: object, reason: str
) -> None:
    assert reason in told(client, 422, json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 5000, b'{"inputs": [}'])
def test_what_is_no_json_is_refused(client: TestClient, content: bytes) -> None:
    assert "not JSON" in told(client, 400, content)


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "9" * 30, "100000", "٣"])
def test_a_header_length_that_is_none_is_refused(client: TestClient, length: str) -> None:
    headers = [(HEADER_LENGTH.encode(), length.encode())]
    answer = client.post(INFER, content=changed(), headers=headers)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


@pytest.mark.parametrize(
    ("payload", "changes", "reason"),
    [
        (b"x" * 15, {}, "age: has 15 bytes of binary data, and FP64 of shape [2] wants 16"),
        (b"x" * 16, {"shape": [10**12]}, "wants 8000000000000"),
        (b"x" * 16, {"size": 17}, "says 17 bytes of binary data, and 16 came"),
        (b"", {"datatype": "BYTES"}, "too few for 2 BYTES"),
        (b"", {"datatype": "BYTES", "shape": [10**12]}, "too few for 1000000000000 BYTES"),
        (struct.pack("<II", 0, 9), {"datatype": "BYTES"}, "ends within element 1"),
        (struct.pack("<II", 2**32 - 1, 0), {"datatype": "BYTES"}, "ends within element 0"),
        (struct.pack("<i4xi", 4, 1), {"datatype": "BYTES"}, "ends within element 1"),
        (struct.pack("<iI", -1, 0), {"datatype": "BYTES"}, "ends within element 0"),
        (struct.pack("<II", 0, 0) + b"x", {"datatype": "BYTES"}, "1 bytes of binary data more"),
        (struct.pack("<IcI", 1, b"\xff", 0), {"datatype": "BYTES"}, "not a text in UTF-8"),
    ],
)
def test_binary_data_that_do_not_fit_are_refused(
    client: TestClient, payload: bytes, changes: Json, reason: str
) -> None:
    content, length = raw(payload, **changes)
    assert reason in told(client, 422, content, **{HEADER_LENGTH: length})


def test_bytes_that_belong_to_no_input_are_refused(client: TestClient) -> None:
    document = changed()
    headers = {HEADER_LENGTH: str(len(document))}
    assert "4 bytes more" in told(client, 400, document + b"more", **headers)


def test_a_category_that_is_not_admitted_is_told_with_those_that_are(client: TestClient) -> None:
    row = {"shape": [1], "datatype": "FP64"}
    inputs = [
        {"name": "Species", "shape": [1], "datatype": "BYTES", "data": ["Pinus"]},
        {"name": "Light_ISF", "data": [0.5], **row},
        {"name": "Leaves", "data": [2.5], **row},
        {"name": "Sterile", "shape": [1], "datatype": "BOOL", "data": [True]},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    error = told(client, 422, body, f"/v2/models/{SURVIVAL.name}/infer")
    assert 'row 1: Species: "Pinus" is not admitted; give one of Acer saccharum, Prunus' in error
    assert "row 1: Leaves: 2.5 is not admitted; give a whole number, at least 0" in error


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (b"no gzip", "gzip", 400),
        (gzip.compress(b"x" * 1000)[:-9], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (zlib.compress(b"nothing"), "deflate", 400),
        (b"{}", "br", 415),
        (gzip.compress(b" " * 5000), "gzip", 413),
        (zlib.compress(b" " * 5000), "deflate", 413),
        (b" " * 5000, "identity", 413),
    ],
    ids=["no gzip", "cut", "more", "deflate", "brotli", "bomb", "deflate bomb", "plain"],
)
def test_a_compressed_body_is_limited_by_what_it_holds(
    models: Path, serve: Serve, content: bytes, encoding: str, status: int
) -> None:
    client = serve(models, max_whole_bytes=4000)
    told(client, status, content, **{"Content-Encoding": encoding})


def test_the_document_is_limited_as_any_body_and_binary_data_are_not(
    models: Path, serve: Serve
) -> None:
    client = serve(models, max_body_bytes=1000)
    much = {"shape": [200], "datatype": "INT64"}
    sent: list[dict[str, Any]] = [
        {"name": name, "data": [1000] * 200, **much} for name in ("age", "bmi")
    ]
    assert "as binary data" in told(client, 413, json.dumps({"inputs": sent}).encode())
    sent = [
        {"name": name, "parameters": {"binary_data_size": 1600}, **much} for name in ("age", "bmi")
    ]
    document = json.dumps({"inputs": sent}).encode()
    headers = {HEADER_LENGTH: str(len(document))}
    assert client.post(INFER, content=document + bytes(3200), headers=headers).status_code == 200


def test_a_body_without_end_is_cut_off(models: Path, serve: Serve) -> None:
    client = serve(models, max_whole_bytes=4000)
    answer = client.post(INFER, content=(b" " * 1000 for _ in range(10)))
    assert (answer.status_code, list(answer.json())) == (413, ["error"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/oak", 404),
        ("GET", "/v2/models/oak/ready", 404),
        ("POST", "/v2/models/oak/infer", 404),
        ("GET", INFER, 405),
        ("DELETE", "/v2", 405),
        ("POST", "/v2/repository/models/iris/load", 403),
        ("POST", "/v2/repository/models/iris/unload", 403),
    ],
)
def test_every_refusal_below_v2_has_the_shape_of_the_protocol(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, follow_redirects=False)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


@pytest.mark.parametrize("content", [b"x", b"[]", b'{"ready": 1}'])
def test_an_index_request_that_is_none_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post("/v2/repository/index", content=content)
    assert answer.status_code in {400, 422} and list(answer.json()) == ["error"]


@pytest.mark.parametrize("length", [10_000, 900_000])
@pytest.mark.parametrize("place", ["id", "input", "output"])
def test_a_name_that_is_long_is_refused_wherever_it_is_read(
    client: TestClient, place: str, length: int
) -> None:
    name = "é" * length if length < 900_000 else "x" * length
    tensor = {"name": "features", "datatype": "FP32", "shape": [1], "data": [1]}
    document: dict[str, Any] = {"inputs": [tensor | ({"name": name} if place == "input" else {})]}
    document |= {"id": name} if place == "id" else {}
    document |= {"outputs": [{"name": name}]} if place == "output" else {}
    answer = client.post(INFER, json=document)
    assert answer.status_code == 422
    assert "at most 200 characters" in answer.json()["error"]
    assert len(answer.content) < 1000
