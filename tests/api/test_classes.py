"""Classes that are numbers come back as they were in the file, wherever they are text."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.tiny_models import IRIS, Recipe, write_model
from treeline.contract.features import Target
from treeline.contract.signature import Signature

GRADES: tuple[Any, ...] = (3.0, 5.0, 1234567.0)  # as exports of before had whole numbers
KINDS: dict[str, tuple[tuple[Any, ...], list[str], str]] = {
    "whole": (GRADES, ["3", "5", "1234567"], "INT64"),
    "decimal": ((0.5, 1.0, 2.5), ["0.5", "1.0", "2.5"], "FP64"),
    "truths": ((False, True), ["false", "true"], "BOOL"),
    "texts": (("3", "5.0", "x"), ['"3"', '"5.0"', '"x"'], "BYTES"),
}


def graded(classes: tuple[Any, ...]) -> Recipe:
    return replace(
        IRIS, target=Target(name="grade", task="multiclass"), classes=classes, default=True
    )


@pytest.fixture(params=KINDS)
def door(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[TestClient, list[str], str]]:
    """A service of one model, its classes as JSON shows them, and their datatype."""
    classes, shown, datatype = KINDS[request.param]
    write_model(tmp_path, graded(classes))
    with TestClient(create_app(Settings(model_dir=tmp_path, prediction_log=False))) as client:
        yield client, shown, datatype


def test_every_answer_has_the_classes_of_the_file(
    door: tuple[TestClient, list[str], str],
) -> None:
    client, shown, datatype = door
    texts = [each.strip('"') for each in shown]
    columns = [f"probability_{text}" for text in texts]
    single = client.post("/v1/predict", json=IRIS.example).text
    label = re.match(r'\{"grade":("[^"]*"|[^,]*),', single)
    assert label is not None and label[1] in shown
    assert list(json.loads(single)["probabilities"]) == texts
    for accept in ("application/json", "application/x-ndjson"):
        listed = client.post("/v1/predict/batch", json=[IRIS.example], headers={"accept": accept})
        assert f'"grade":{label[1]},' in listed.text
    table = client.post(
        "/v1/predict/batch", json=[IRIS.example], headers={"accept": "text/csv"}
    ).text.splitlines()
    assert table[0].startswith(",".join(["grade", "probability", *columns, "id"]))
    assert table[1].split(",")[0] == label[1].strip('"')
    stream = client.post(
        "/v1/predict/batch",
        json=[IRIS.example],
        headers={"accept": "application/vnd.apache.arrow.stream"},
    )
    found = pa.ipc.open_stream(io.BytesIO(stream.content)).read_all()
    assert found.column_names[2 : 2 + len(columns)] == columns
    assert json.dumps(found["grade"][0].as_py()) == label[1]
    outputs = client.get("/v2/models/iris").json()["outputs"]
    labels = {"parameters": {"labels": [json.loads(each) for each in shown]}}
    assert {"name": "grade", "datatype": datatype, "shape": [-1], **labels} in outputs
    inferred = client.post("/v2/models/iris/infer", json={"inputs": tensors()}).json()
    (given,) = (each for each in inferred["outputs"] if each["name"] == "grade")
    assert (given["datatype"], json.dumps(given["data"][0])) == (datatype, label[1])


def test_every_description_has_the_classes_of_the_file(
    door: tuple[TestClient, list[str], str],
) -> None:
    client, shown, _ = door
    texts = [each.strip('"') for each in shown]
    document = client.get("/openapi.json").text
    fractions = f"One of: {', '.join(shown)}"  # for such a list, generators drop an operation
    assert f'"enum":[{",".join(shown)}]' in document or fractions in document
    assert f"Classes: {', '.join(texts)}." in client.get("/").text
    client.post("/v1/predict", json=IRIS.example)
    counted = re.findall(r"treeline_predictions_total\{([^}]*)\}", client.get("/metrics").text)
    assert all(any(f'"{text}"' in line for line in counted) for text in texts)


def test_a_signature_of_before_says_the_same(tmp_path: Path) -> None:
    document = write_model(tmp_path, graded(GRADES)).document()
    before = document.replace(
        "    3,\n    5,\n    1234567\n", "    3.0,\n    5.0,\n    1234567.0\n"
    )
    assert before != document
    assert Signature.parse(before, place="here").document() == document
    assert write_model(tmp_path, graded(GRADES)).document() == document


def tensors() -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
        for name, value in IRIS.example.items()
    ]
