"""The table that a model learnt from is answered at every door: as it is, with all its columns."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from tests.tiny_models import SURVIVAL, write_model

TABLE = (
    "Plot,Species,Light_ISF,EMF,Phenolics,Leaves,Sterile,Event,Núm\n"
    "3,Quercus alba,0.1,NA,1.5,4,FALSE,1,a\n"
    '3,"Prunus serotina",0.2,,NA,5,1,NA,b\n'
    "4,Quercus alba,1e-1,12.5,-1,3,0,0,c\n"
)
BESIDES = {"Plot": 3, "Event": 1.0, "Núm": "a"}
ROWS: list[dict[str, Any]] = [
    {**BESIDES, "Species": "Quercus alba", "Light_ISF": 0.1, "EMF": None, "Phenolics": 1.5,
     "Leaves": 4, "Sterile": False},
    {**BESIDES, "Species": "Prunus serotina", "Light_ISF": 0.2, "EMF": None, "Phenolics": None,
     "Leaves": 5, "Sterile": True},
    {**BESIDES, "Species": "Quercus alba", "Light_ISF": 0.1, "EMF": 12.5, "Phenolics": -1.0,
     "Leaves": 3, "Sterile": False},
]  # fmt: skip
ARROW = pa.Table.from_pylist(ROWS)
URL = "/v1/predict/batch"
JSON = {"accept": "application/json"}


def as_parquet() -> bytes:
    sink = io.BytesIO()
    parquet.write_table(ARROW, sink)
    return sink.getvalue()


def as_stream() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, ARROW.schema) as stream:
        stream.write_table(ARROW)
    return sink.getvalue()


DOORS = {
    "text/csv": TABLE.encode(),
    "application/json": json.dumps(ROWS).encode(),
    "application/json; of=columns": json.dumps(
        {name: [row[name] for row in ROWS] for name in ROWS[0]}
    ).encode(),
    "application/x-ndjson": b"\n".join(json.dumps(row).encode() for row in ROWS),
    "application/vnd.apache.arrow.stream": as_stream(),
    "application/vnd.apache.parquet": as_parquet(),
}
NAMES = {"csv": "text/csv", "json": "application/json", "jsonl": "application/x-ndjson",
         "parquet": "application/vnd.apache.parquet"}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    models = tmp_path_factory.mktemp("models")
    write_model(models, replace(SURVIVAL, missing=("NA",)))
    with TestClient(create_app(Settings(model_dir=models, prediction_log=False))) as client:
        yield client


def expected(client: TestClient) -> list[float]:
    """Return what the rows get one by one, without what the model does not know."""
    known = [{name: row[name] for name in SURVIVAL.features} for row in ROWS]
    return [client.post("/v1/predict", json=row).json()["probability"] for row in known]


@pytest.mark.parametrize("kind", DOORS)
def test_it_is_answered_in_every_format(client: TestClient, kind: str) -> None:
    answer = client.post(URL, content=DOORS[kind], headers={"content-type": kind, **JSON})
    assert answer.status_code == 200, answer.text
    assert [row["probability"] for row in answer.json()] == pytest.approx(expected(client))
    assert set(answer.headers["ignored-columns"].split(",")) == {"Plot", "Event", "N%C3%BAm"}


@pytest.mark.parametrize("suffix", NAMES)
def test_it_is_answered_as_the_file_of_a_form(client: TestClient, suffix: str) -> None:
    file = (f"table.{suffix}", DOORS[NAMES[suffix]], "application/octet-stream")
    answer = client.post(URL, files={"file": file}, data={"note": "besides"}, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert [row["probability"] for row in answer.json()] == pytest.approx(expected(client))


@pytest.mark.parametrize(
    ("files", "status", "told"),
    [
        ({"file": ("table.xlsx", b"PK", "application/octet-stream")}, 415, "table.xlsx"),
        ({"file": (None, "Plot,Species\n")}, 400, "curl -F file=@table.csv"),
    ],
    ids=["of an unknown format", "no file"],
)
def test_a_form_without_a_table_is_refused_with_the_way_to_one(
    client: TestClient, files: Any, status: int, told: str
) -> None:
    answer = client.post(URL, files=files)
    assert answer.status_code == status and told in answer.text


@pytest.mark.parametrize("kind", DOORS)
def test_columns_besides_can_be_refused(client: TestClient, kind: str) -> None:
    headers = {"content-type": kind, **JSON}
    answer = client.post(URL, params={"extra": "refuse"}, content=DOORS[kind], headers=headers)
    assert answer.status_code == 422
    assert "is not a feature of this model" in answer.text


@pytest.mark.parametrize(("extra", "status"), [("auto", 422), ("ignore", 200)])
@pytest.mark.parametrize("kind", ["text/csv", "application/json", "application/x-ndjson"])
def test_a_misspelt_feature_is_not_taken_for_a_column_besides(
    client: TestClient, kind: str, extra: str, status: int
) -> None:
    content = DOORS[kind].replace(b"EMF", b"Emf")
    headers = {"content-type": kind, **JSON}
    answer = client.post(URL, params={"extra": extra}, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert "Emf" in (answer.text if status == 422 else answer.headers["ignored-columns"])


@pytest.mark.parametrize("kind", ["text/csv", "application/vnd.apache.parquet"])
def test_the_index_of_a_frame_is_no_column_of_the_table(client: TestClient, kind: str) -> None:
    """pandas writes it besides, under a name of its own or none."""
    frame = pd.DataFrame(ROWS, index=[7, 5, 9]).drop(columns=["EMF", *BESIDES])
    content = frame.to_csv().encode() if kind == "text/csv" else frame.to_parquet()
    assert b"__index_level_0__" in content or content.startswith(b",")
    answer = client.post(URL, content=content, headers={"content-type": kind, **JSON})
    assert answer.status_code == 200, answer.text
    assert answer.headers.get("ignored-columns", "") in ("", "__index_level_0__")
    misspelt = frame.rename(columns={"Phenolics": "Fenolics"})
    content = misspelt.to_csv().encode() if kind == "text/csv" else misspelt.to_parquet()
    answer = client.post(URL, content=content, headers={"content-type": kind, **JSON})
    assert answer.status_code == 422 and "Fenolics" in answer.text


def test_a_word_for_a_missing_value_is_refused_where_there_must_be_one(client: TestClient) -> None:
    content = TABLE.replace("Quercus alba,0.1,NA", "NA,0.1,NA").encode()
    answer = client.post(URL, content=content, headers={"content-type": "text/csv"})
    assert answer.status_code == 422
    assert "row 1: Species" in answer.text and "is missing" in answer.text
